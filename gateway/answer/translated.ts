import type { ClientStream } from './client-stream.ts';
import type { Rendered } from './renderers.ts';

/**
 * A client whose API has events of its own: what a stream writes to it is translated last, so that all that reads a stream
 * sees it as the engine wrote it. The last piece of a broken stream is in the client's form already.
 */
export class TranslatedClient implements ClientStream {
  readonly #client: ClientStream;
  readonly #translate: (events: Buffer | string) => string;

  /** @param translate of whole events; it may say nothing of some */
  constructor(client: ClientStream, translate: (events: Buffer | string) => string) {
    this.#client = client;
    this.#translate = translate;
  }

  get isBegun(): boolean {
    return this.#client.isBegun;
  }
  get isGone(): boolean {
    return this.#client.isGone;
  }
  get unsentBytes(): number {
    return this.#client.unsentBytes;
  }

  send(answer: Rendered): void {
    this.#client.send(answer);
  }

  write(piece: Buffer | string): void {
    const events = this.#translate(piece);
    if (events !== '') this.#client.write(events);
  }

  end(last?: string): void {
    this.#client.end(last);
  }

  cut(last: string): void {
    this.#client.cut(last);
  }

  giveUp(): void {
    this.#client.giveUp();
  }
}
