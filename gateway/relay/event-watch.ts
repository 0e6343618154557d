import type { Usage } from '#contract/chat';

/** Watches the events of an engine's stream go by, and says what to pass on and how the stream stands. */
export interface EventWatch {
  /** @returns the bytes to pass on, whole events only; may be empty */
  take(chunk: Buffer): Buffer;
  /** the stream said that it is whole, and no error came before */
  readonly done: boolean;
  readonly usage: Usage | undefined;
  /** what the engine said went wrong */
  readonly error: string | undefined;
  /** the request was refused after its stream had begun: status and body as they would have been before */
  readonly refusal: { readonly status: number; readonly body: Buffer } | undefined;
  /** From here on each event is read and made another; absent where nothing is put before or between the engine's. */
  joinBy?(join: ((event: Buffer) => Buffer | undefined) | undefined): void;
  /** events passed on, where the API numbers them */
  readonly passed?: number;
}

const EVENT_END = '\n\n';
const TAIL_LIMIT_BYTES = 4 * 1024 * 1024;

/** Cuts a stream of bytes into whole events. */
export class EventCutter {
  #tail: Buffer | undefined;

  /** no event has begun that is not whole */
  get isBetween(): boolean {
    return this.#tail === undefined;
  }
  /** an event has no end within reason */
  get isEndless(): boolean {
    return (this.#tail?.length ?? 0) > TAIL_LIMIT_BYTES;
  }

  cut(chunk: Buffer): Buffer[] {
    const bytes = this.#tail === undefined ? chunk : Buffer.concat([this.#tail, chunk]);
    const events: Buffer[] = [];
    let at = 0;
    for (let end = bytes.indexOf(EVENT_END); end >= 0; end = bytes.indexOf(EVENT_END, at)) {
      events.push(bytes.subarray(at, end + EVENT_END.length));
      at = end + EVENT_END.length;
    }
    this.#tail = at < bytes.length ? bytes.subarray(at) : undefined;
    return events;
  }
}

/** One piece as it is, several as one. */
export function joinPieces(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}
