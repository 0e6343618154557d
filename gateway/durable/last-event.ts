import { z } from 'zod';
import type { ClientStream } from '../answer/client-stream.ts';
import { EventReader, parseJson } from '../answer/engine/sse.ts';

const Closing = z.object({
  type: z.enum(['response.completed', 'response.incomplete']),
  // vLLM closes an incomplete answer with `response.completed` too (source: vLLM 0.32, recorded).
  response: z.looseObject({ status: z.enum(['completed', 'incomplete']).catch('completed') }),
});

/** The owner's own client: it reads nothing but the event that ends an answer. */
export class LastEvent implements ClientStream {
  #piece: Buffer | string = '';
  readonly isGone = false;
  readonly unsentBytes = 0;

  get isBegun(): boolean {
    return this.#piece.length > 0;
  }

  /** The complete response; undefined if none has arrived. */
  get response(): { readonly state: 'completed' | 'incomplete'; readonly json: string } | undefined {
    const last = [...new EventReader().read(Buffer.from(this.#piece))].at(-1);
    const closing = last === undefined ? undefined : Closing.safeParse(parseJson(last.data)).data;
    if (closing === undefined) return undefined;
    return { state: closing.response.status, json: JSON.stringify(closing.response) };
  }

  write(piece: Buffer | string): void {
    this.#piece = piece;
  }

  send(): void {}
  end(): void {}
  cut(): void {}
  giveUp(): void {}
}
