import type { ClientStream } from './client-stream.ts';
import { PassingClient } from './passing-client.ts';

/**
 * A client whose API has its own events, or that has a part of them. A stream is translated just before it is written, so that all other code sees
 * the engine's form. The last piece of a broken stream is in the client's form already.
 */
export class TranslatedClient extends PassingClient {
  readonly #translate: (events: Buffer | string) => Buffer | string;

  /** @param translate translates complete events; it may drop some */
  constructor(client: ClientStream, translate: (events: Buffer | string) => Buffer | string) {
    super(client);
    this.#translate = translate;
  }

  write(piece: Buffer | string): void {
    const events = this.#translate(piece);
    if (events.length > 0) this.client.write(events);
  }
}
