import type { JobV1, Token } from '#contract/job';
import { OPERATIONS, PROVIDER } from '#contract/operation';
import type { TraceContext } from '#contract/trace';
import type { AttemptUsage } from '#contract/usage';
import type { OpenSpan, Tracing } from '#runtime/tracing';
import type { Slot } from './engine-slots.ts';

/** How an attempt ended. */
interface Over {
  readonly outcome: string;
  /** of the engine's answer; 0: there was none */
  readonly status: number;
  /** why the attempt failed, other than by the engine's own answer */
  readonly failure: string | undefined;
  readonly finishReasons: readonly string[];
  readonly used: AttemptUsage;
}

/** The spans of one attempt: its time at the dispatcher, and in that its call of an engine. They hold no word of it. */
export class AttemptSpans {
  readonly #tracing: Tracing;
  readonly #job: JobV1;
  readonly #slot: Slot;
  readonly #attempt: OpenSpan;
  #call: OpenSpan | undefined;

  constructor(tracing: Tracing, job: JobV1, token: Token, slot: Slot) {
    const { requestId, kind, trace } = job;
    this.#tracing = tracing;
    this.#job = job;
    this.#slot = slot;
    this.#attempt = tracing.start('dispatch', {
      kind: 'consumer',
      parent: trace,
      follows: trace?.former,
      attributes: {
        'penstock.request_id': requestId,
        'penstock.epoch': token.epoch,
        'penstock.attempt': token.attempt,
        'penstock.kind': kind,
        'penstock.engine': slot.engine,
      },
    });
  }

  /** `traceparent` of the attempt. */
  get place(): string {
    return this.#attempt.traceparent;
  }

  /** An engine gets the request. @returns what the engine's own spans are below */
  called(): TraceContext {
    const { model, path, trace } = this.#job;
    const [address, port] = this.#slot.connections.host.split(':');
    const operation = OPERATIONS[path];
    this.#call = this.#tracing.start(`${operation} ${model}`, {
      kind: 'client',
      parent: this.#attempt,
      attributes: {
        'gen_ai.operation.name': operation,
        'gen_ai.provider.name': PROVIDER,
        'gen_ai.request.model': model,
        'server.address': address,
        'server.port': port === undefined ? undefined : Number(port),
        ...trace?.asked,
      },
    });
    return this.#call;
  }

  /** The first bytes of its answer came. */
  heard(): void {
    this.#call?.event('first byte');
  }

  over({ outcome, status, failure, finishReasons, used }: Over): void {
    const isOver = outcome === 'answered' || outcome === 'hand_back';
    const error = failure ?? (status >= 400 ? String(status) : isOver ? undefined : outcome);
    // Its client left, or another attempt has the request: no part of this side failed.
    const isFault = failure !== undefined || outcome !== 'cancelled';
    this.#call?.set({
      'http.response.status_code': status === 0 ? undefined : status,
      // An engine serves one model, under the name of its card.
      'gen_ai.response.model': status === 200 ? this.#job.model : undefined,
      'gen_ai.response.finish_reasons': finishReasons.length === 0 ? undefined : finishReasons,
      'gen_ai.usage.input_tokens': used.prompt === 0 ? undefined : used.prompt,
      'gen_ai.usage.output_tokens': used.answer + used.partial,
    });
    this.#call?.end(error, isFault);
    this.#attempt.set({ 'penstock.outcome': outcome });
    this.#attempt.end(error, isFault);
  }
}
