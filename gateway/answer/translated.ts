import type { ClientStream } from './client-stream.ts';
import type { Rendered } from './renderers.ts';

/**
 * A client whose API has its own events, or that has a part of them. A stream is translated just before it is written, so that all other code sees
 * the engine's form. The last piece of a broken stream is in the client's form already.
 */
export class TranslatedClient implements ClientStream {
  readonly #client: ClientStream;
  readonly #translate: (events: Buffer | string) => Buffer | string;

  /** @param translate translates complete events; it may drop some */
  constructor(client: ClientStream, translate: (events: Buffer | string) => Buffer | string) {
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
    if (events.length > 0) this.#client.write(events);
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
