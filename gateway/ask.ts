import { Failure } from '#contract/failure';
import type { Kind } from '#contract/job';
import type { Clock } from '#runtime/clock';
import type { Admission, Candidate } from './admission/admission.ts';
import type { WorkerRegistry } from './admission/worker-registry.ts';
import type { ReplySink } from './relay/exchange.ts';
import type { Relay } from './relay/relay.ts';

const HOLD_CHECK_MS = 250;
const NO_ENGINE_RETRY_SECONDS = 10;

/** One checked request, ready for an engine. */
export interface Question {
  readonly model: string;
  readonly kind: Kind;
  readonly body: Buffer;
  readonly keyId: string;
  /** from arrival to the end of the answer, in milliseconds, and the instant it ends (clock of this process) */
  readonly deadlineMs: number;
  readonly deadlineAt: number;
  readonly traceparent?: string;
}

/** Instants (clock of this process, ms) of one request's way. */
export interface Phases {
  requestId: string;
  enqueuedAt?: number;
  claimedAt?: number;
}

export interface AskDeps {
  readonly admission: Admission;
  readonly relay: Relay;
  readonly registry: WorkerRegistry;
  readonly clock: Clock;
  readonly replica: string;
  readonly idleMs: number;
  /** how long a request waits while no engine of its model is ready, in milliseconds */
  readonly holdMs: number;
  readonly onEvicted: () => void;
}
export type Ask = (question: Question, sink: ReplySink, phases: Phases, signal: AbortSignal) => Promise<void>;

/**
 * Takes one request from admission to its end: the sink gets the answer, whatever is left in Redis is removed.
 * The promise resolves when the sink saw `end` and rejects with the Failure otherwise; the sink's `fail` is not used.
 * @throws Failure of admission, of the attempt, `no_engine`, or `client_closed` when `signal` fired
 */
export function createAsk(deps: AskDeps): Ask {
  const { admission, relay, registry, clock } = deps;
  let count = 0;
  return async (question, sink, phases, signal) => {
    count += 1;
    const requestId = `${deps.replica}-${String(count)}`;
    phases.requestId = requestId;
    const { model, kind, deadlineMs, deadlineAt, keyId, traceparent } = question;
    const candidate: Candidate = {
      job: {
        requestId,
        model,
        kind,
        deadlineMs,
        replica: deps.replica,
        keyId,
        path: '/v1/chat/completions',
        ...(traceparent === undefined ? {} : { traceparent }),
      },
      body: question.body,
      leftMs: deadlineAt - clock(),
    };
    let claimed = false;
    let holding: NodeJS.Timeout | undefined;
    let onAbort = (): void => {};
    const answered = new Promise<void>((resolve, reject) => {
      onAbort = () => reject(new Failure('client_closed', 'the client closed the connection'));
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      relay.open({
        requestId,
        model,
        kind,
        deadlineAt,
        idleMs: deps.idleMs,
        onClaimed: () => {
          claimed = true;
          phases.claimedAt = clock();
          clearInterval(holding);
          admission.claimed(candidate);
        },
        sink: {
          head: (head) => sink.head(head),
          data: (chunk) => sink.data(chunk),
          end: () => {
            sink.end();
            resolve();
          },
          fail: reject,
        },
      });
      const waitingSince = clock();
      holding = setInterval(() => {
        if (Math.min(registry.withoutEngineMs(model), clock() - waitingSince) < deps.holdMs) return;
        deps.onEvicted();
        reject(noEngine(model));
      }, HOLD_CHECK_MS);
    });
    phases.enqueuedAt = clock();
    const submitted = admission.enqueue(candidate);
    try {
      // Both at once: a client that hangs up while the job is being added does not wait for it.
      await Promise.all([submitted, answered]);
    } finally {
      clearInterval(holding);
      signal.removeEventListener('abort', onAbort);
      relay.abandon(requestId);
      if (claimed) admission.finished(candidate);
      else
        submitted.then(
          () => void admission.withdraw(candidate),
          () => {},
        );
    }
  };
}

function noEngine(model: string): Failure {
  return new Failure('no_engine', `no engine of ${model} is ready; one may be starting`, {
    retryAfterSeconds: NO_ENGINE_RETRY_SECONDS,
  });
}
