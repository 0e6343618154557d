import type { Engine, Request } from '../engine/engine.ts';
import type { Step } from '../engine/sequence.ts';
import type { Task } from '../engine/task.ts';
import type { Faults } from '../faults/faults.ts';
import type { ApiError } from '../http/errors.ts';
import type { EventStream, Exchange } from '../http/exchange.ts';

/** A request that was read, checked and prepared; only the engine's work is missing. */
export interface Generation extends Omit<Request, 'onStep' | 'onFailure'> {
  readonly isStream: boolean;
  /** the engine's answer if it refuses the request */
  readonly refusal: ApiError | undefined;
}

/** The two forms of an answer of one route. */
export interface AnswerForms {
  readonly events: (out: EventStream) => {
    take(choice: number, step: Step, task: Task): void;
    /** Ends the stream as vLLM does when its engine refuses the request or dies. */
    fail(error: ApiError): void;
  };
  readonly body: () => {
    /** @returns the body once all choices are complete */
    take(choice: number, step: Step, task: Task): object | undefined;
  };
}

/**
 * Gives a request to the engine and the answer to the client, as events or as one body. If the client leaves, the
 * engine drops the request.
 * @throws ApiError the engine's refusal of a request without a stream
 */
export function generate(
  exchange: Exchange,
  { engine, faults }: { readonly engine: Engine; readonly faults: Faults },
  request: Generation,
  forms: AnswerForms,
): void {
  if (exchange.gone.aborted) return;
  const { refusal, isStream } = request;
  if (refusal !== undefined) {
    if (!isStream) throw refusal;
    forms.events(exchange.stream()).fail(refusal);
    return;
  }
  const drop = engine.start({ ...request, ...(isStream ? writeEvents() : sendBody()) });
  exchange.gone.addEventListener('abort', drop, { once: true });

  function writeEvents(): Pick<Request, 'onStep' | 'onFailure'> {
    const answer = forms.events(exchange.stream(faults.onEvent()));
    return {
      onStep: (choice, step, task) => answer.take(choice, step, task),
      onFailure: (error) => answer.fail(error),
    };
  }

  function sendBody(): Pick<Request, 'onStep' | 'onFailure'> {
    const answer = forms.body();
    return {
      onStep: (choice, step, task) => {
        const body = answer.take(choice, step, task);
        if (body !== undefined) exchange.json(200, body);
      },
      onFailure: (error) => exchange.error(error),
    };
  }
}
