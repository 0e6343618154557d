import { z } from 'zod';
import type { StreamIdentity } from '../request/chat.ts';
import type { EnginePath } from '#contract/job';
import type { Join } from './engine/event-watch.ts';
import { EventReader, parseJson } from './engine/sse.ts';

const END = '\n\n';
const Identity = z.object({ id: z.string(), created: z.number(), model: z.string() });

/**
 * Keeps a silent stream open for clients that read no comments. It sends events without text, with the identity of the
 * stream's other events. Before the engine's first event the gateway makes up the identity, and the engine's events are
 * changed to follow it.
 */
export class EmptyEvents {
  readonly #render: (stream: StreamIdentity) => string;
  readonly #newIdentity: () => StreamIdentity;
  /** set if the stream was opened before the engine's first event */
  #own: StreamIdentity | undefined;
  #first: Buffer | undefined;

  /** @param isFixed all events have the gateway's identity, whether or not the stream was silent before them */
  constructor(render: (stream: StreamIdentity) => string, newIdentity: () => StreamIdentity, isFixed = false) {
    this.#render = render;
    this.#newIdentity = newIdentity;
    if (isFixed) this.#own = newIdentity();
  }

  /** @param events complete events of the answer, end to end, as they are sent to the client; only the first is kept */
  saw(events: Buffer): void {
    this.#first ??= Buffer.from(events.subarray(0, events.indexOf(END) + END.length));
  }

  next(): string {
    if (this.#first !== undefined) {
      const engines = identityOf(this.#first);
      if (engines !== undefined) return this.#render(engines);
    }
    this.#own ??= this.#newIdentity();
    return this.#render(this.#own);
  }

  /** Makes the engine's events follow an event of the gateway; undefined if it sent none before them. */
  get join(): Join | undefined {
    const own = this.#own;
    return own === undefined ? undefined : (event) => ({ ...event, id: own.id, created: own.created });
  }
}

/** An identity like those of engines. @param created seconds since 1970 */
export function madeIdentity(
  { model, path }: { readonly model: string; readonly path: EnginePath },
  requestId: string,
  created = Math.floor(Date.now() / 1_000),
): StreamIdentity {
  return { id: `${path === '/v1/completions' ? 'cmpl' : 'chatcmpl'}-${requestId}`, created, model };
}

/** @param event as it was sent */
function identityOf(event: Buffer): StreamIdentity | undefined {
  return Identity.safeParse(new EventReader().read(event).map(({ data }) => parseJson(data))[0]).data;
}
