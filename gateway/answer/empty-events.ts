import { z } from 'zod';
import type { StreamIdentity } from '../request/chat.ts';
import type { EnginePath } from '#contract/job';
import type { Join } from './engine/event-watch.ts';
import { EventReader, parseJson } from './engine/sse.ts';
import type { Phases } from './notes.ts';

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

  constructor(render: (stream: StreamIdentity) => string, newIdentity: () => StreamIdentity) {
    this.#render = render;
    this.#newIdentity = newIdentity;
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

/** @param render of an API whose clients read no comments */
export function emptyEventsOf(
  render: (stream: StreamIdentity) => string,
  { model, path }: { readonly model: string; readonly path: EnginePath },
  phases: Phases,
): EmptyEvents {
  const prefix = path === '/v1/completions' ? 'cmpl' : 'chatcmpl';
  const newIdentity = (): StreamIdentity => ({
    id: `${prefix}-${phases.requestId}`,
    created: Math.floor(Date.now() / 1_000),
    model,
  });
  return new EmptyEvents(render, newIdentity);
}

/** @param event as it was sent */
function identityOf(event: Buffer): StreamIdentity | undefined {
  return Identity.safeParse(new EventReader().read(event).map(({ data }) => parseJson(data))[0]).data;
}
