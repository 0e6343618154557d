import type { JobTrace, TraceContext } from '#contract/trace';
import type { OpenSpan, SpanAttributes, Tracing } from '#runtime/tracing';

/** The trace of one request, as far as it follows the request through the queue. */
export class RequestTrace {
  /** what its spans are below: the gateway's own span of the request, or the caller's */
  readonly context: TraceContext;
  readonly #tracing: Tracing | undefined;
  #asked: Readonly<Record<string, number>> | undefined;
  #queue: OpenSpan | undefined;
  /** of the epoch that waits or runs */
  #waitsAs: TraceContext | undefined;
  /** the attempt that has the request, or was lost last */
  #attempt: string | undefined;

  /** @param tracing absent: nothing is recorded here, and the context is handed on */
  constructor(tracing: Tracing | undefined, context: TraceContext) {
    this.#tracing = tracing;
    this.context = { traceparent: context.traceparent, ...stateOf(context) };
  }

  /** Spans of it are recorded. */
  get isRecorded(): boolean {
    return this.#tracing !== undefined && this.context.traceparent.endsWith('1');
  }

  /** Numbers of the request for the span of its engine's call. */
  asks(numbers: Readonly<Record<string, number>>): void {
    this.#asked = numbers;
  }

  get traceId(): string {
    return this.context.traceparent.slice('00-'.length, '00-'.length + 32);
  }

  /** An epoch begins to wait. @param at clock of this process, ms */
  waits(epoch: number, at: number): void {
    this.left();
    const { context: parent } = this;
    const attributes: SpanAttributes = { 'penstock.epoch': epoch };
    const start = { kind: 'internal', parent, follows: this.#attempt, at, attributes } as const;
    this.#queue = this.#tracing?.start('queue wait', start);
    this.#waitsAs = this.#queue;
  }

  /** What the jobs of this epoch tell. */
  get job(): JobTrace {
    const { traceparent, tracestate } = this.#waitsAs ?? this.context;
    const former = this.#attempt;
    return {
      traceparent,
      ...(tracestate === undefined ? {} : { tracestate }),
      ...(former === undefined ? {} : { former }),
      ...(this.#asked === undefined ? {} : { asked: this.#asked }),
    };
  }

  /** A dispatcher has it. @param span of the attempt, if its dispatcher records any */
  taken(span: string | undefined): void {
    this.#queue?.end();
    this.#queue = undefined;
    this.#attempt = span ?? this.#waitsAs?.traceparent;
  }

  /** It waits no more. @param error why it was taken by no dispatcher */
  left(error?: string): void {
    this.#queue?.end(error);
    this.#queue = undefined;
  }
}

/** The trace of a request that another gateway took. @param context as that one kept it */
export function keptTrace(
  tracing: Tracing | undefined,
  context: TraceContext | undefined,
): { readonly trace?: RequestTrace } {
  return context === undefined ? {} : { trace: new RequestTrace(tracing, context) };
}

const stateOf = ({ tracestate }: TraceContext): { readonly tracestate?: string } =>
  tracestate === undefined ? {} : { tracestate };
