import { z } from 'zod';
import type { StreamIdentity } from '../request/chat.ts';
import type { Join } from './engine/event-watch.ts';
import type { Phases } from './notes.ts';

const Numbered = z.looseObject({ type: z.unknown(), sequence_number: z.number() });
const OfResponse = z.object({ response: z.looseObject({}) });
/** OpenAI's details have numbers alone, and its Agents SDK throws at vLLM's lists of numbers by turn. */
const Details = z
  .record(z.string(), z.unknown())
  .transform((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => !Array.isArray(value))));
const OpenAIUsage = z.looseObject({ input_tokens_details: Details, output_tokens_details: Details });

/**
 * The beginning of a stream of `/v1/responses` whose request waits: `response.created`, then `response.queued`, with an
 * identity that the gateway makes up. The engine's events are changed to follow them.
 */
export class QueuedResponse {
  readonly #render: (stream: StreamIdentity) => string;
  readonly #model: string;
  readonly #phases: Pick<Phases, 'requestId'>;
  readonly #kept: Omit<StreamIdentity, 'model'> | undefined;
  #own: StreamIdentity | undefined;

  /** @param render writes both events, numbered 0 and 1 @param kept identity of an answer that is kept */
  constructor(
    render: (stream: StreamIdentity) => string,
    model: string,
    phases: Pick<Phases, 'requestId'>,
    kept?: Omit<StreamIdentity, 'model'>,
  ) {
    this.#render = render;
    this.#model = model;
    this.#phases = phases;
    this.#kept = kept;
  }

  /** @returns both events; from the second call on nothing */
  open(): string {
    if (this.#own !== undefined) return '';
    const created = Math.floor(Date.now() / 1_000);
    const made = { id: `resp_${this.#phases.requestId}`, created };
    this.#own = { ...made, ...this.#kept, model: this.#model };
    return this.#render(this.#own);
  }

  /** events that the client has from the gateway */
  get passed(): number {
    return this.#own === undefined ? 0 : 2;
  }

  /**
   * Gives the engine's events the identity and numbers that follow, without its own `response.created`. Undefined if the
   * gateway sent none before them.
   */
  get join(): Join | undefined {
    const own = this.#own;
    if (own === undefined) return undefined;
    return (event) => {
      const numbered = Numbered.safeParse(event);
      if (!numbered.success) return event;
      const { type, sequence_number: number } = numbered.data;
      if (type === 'response.created') return undefined;
      const followed = { ...event, sequence_number: number + 1 };
      const of = OfResponse.safeParse(event);
      if (!of.success) return followed;
      const response = { ...of.data.response, ...own.shown, id: own.id, created_at: own.created };
      const usage = this.#kept === undefined ? undefined : OpenAIUsage.safeParse(of.data.response['usage']).data;
      return { ...followed, response: usage === undefined ? response : { ...response, usage } };
    };
  }
}
