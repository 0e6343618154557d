import { setTimeout as pause } from 'node:timers/promises';
import type { Request, RequestHandler, Response } from 'express';
import { Failure } from '../failure.ts';
import type { Posts } from '../durable/durable-posts.ts';
import type { Begun, Idempotency, Turn } from '../queue/idempotency.ts';
import { send } from './error-middleware.ts';
import { requestContext } from './request-context.ts';

export const KEY_HEADER = 'idempotency-key';
const KEY_LIMIT = 255;
/** How long a repeated request waits for the first one, and how often it looks, in ms. */
const LONGEST_WAIT_MS = 600_000;
const SHORTEST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 500;
/** Headers that, besides the body, define the request. */
const DECIDING = ['azureml-model-deployment', 'extra-parameters', 'x-ms-model-mesh-model-name'] as const;
const LAST_EVENT = 'last-event-id';
const IGNORED = 'x-penstock-ignored';

/**
 * A request with `Idempotency-Key` runs once. If the same caller sends it again with the same body, it gets the first
 * answer: a durable one also while it runs, any other when it is complete. Must come after the reading of the body; a request without the header passes immediately.
 * @throws Failure `idempotency_conflict` while it runs, `idempotency_spent` if its answer was not kept,
 * `idempotency_mismatch` for another request, `header_too_long`
 */
export function runOnce(idempotency: Idempotency, posts: Pick<Posts, 'isFree'>): RequestHandler {
  return async (req, res, next) => {
    const key = keyOf(req);
    const isResumed = req.headers[LAST_EVENT] !== undefined;
    if (key === undefined) {
      if (isResumed)
        throw nothingToResume(`${LAST_EVENT} needs the ${KEY_HEADER} of the request that began the stream`);
      next();
      return;
    }
    const context = requestContext(res);
    const bytes: unknown = req.body;
    const body = Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
    const said = DECIDING.flatMap((name) =>
      req.headers[name] === undefined ? [] : [`${name}: ${String(req.headers[name])}`],
    );
    const scope = [context.caller.id, req.path.replace(/\/+$/, ''), key] as const;
    const begin = () => idempotency.begin(scope, body, said, (answer) => posts.isFree(answer));
    const begun = await settled(begin, context.signal);
    switch (begun.kind) {
      case 'first':
        if (isResumed) {
          await begun.turn.release();
          throw nothingToResume(`no stream has this ${KEY_HEADER}; send the request without ${LAST_EVENT}`);
        }
        watch(res, begun.turn);
        context.turn = begun.turn;
        next();
        return;
      case 'durable':
        context.fields['replayed'] = true;
        context.earlier = begun.answer;
        next();
        return;
      case 'answered': {
        const { status, headers, body: text } = begun.answer;
        context.fields['replayed'] = true;
        send(res, { status, headers: { ...headers, 'idempotent-replayed': 'true' }, body: text });
        return;
      }
      case 'running':
        throw new Failure('idempotency_conflict', `a request with this ${KEY_HEADER} is still running; try again`);
      case 'spent':
        throw new Failure(
          'idempotency_spent',
          `the request with this ${KEY_HEADER} was already answered; its answer (a stream, a long one, or one from before a restart of Redis) is not kept`,
        );
      case 'other_body':
        throw new Failure(
          'idempotency_mismatch',
          `this ${KEY_HEADER} was sent before with another body or other headers; use a new one for each request`,
          { param: KEY_HEADER },
        );
      default:
        begun satisfies never;
    }
  };
}

/** @returns the idempotency key of a request, if it has one @throws Failure `header_too_long` */
export function keyOf({ headers }: Request): string | undefined {
  const key = headers[KEY_HEADER];
  if (typeof key !== 'string' || key === '') return undefined;
  if (key.length <= KEY_LIMIT) return key;
  throw new Failure('header_too_long', `${KEY_HEADER} is longer than ${KEY_LIMIT} characters`, { param: KEY_HEADER });
}

function nothingToResume(problem: string): Failure {
  return new Failure('invalid_request', problem, { param: LAST_EVENT });
}

/** While the first request runs, those that repeat it wait: for its answer, or until it is known to be durable. */
async function settled(begin: () => Promise<Begun>, signal: AbortSignal): Promise<Begun> {
  const until = performance.now() + LONGEST_WAIT_MS;
  for (let pauseMs = SHORTEST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const begun = await begin();
    if (begun.kind !== 'running' || performance.now() > until) return begun;
    await pause(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/**
 * Settles the key before the answer is sent, so that its receiver finds it settled. If the request was refused before
 * it ran, the key is released. If it may have run, the same answer is given again, even a failure.
 */
function watch(res: Response, turn: Turn): void {
  const context = requestContext(res);
  context.beforeAnswer = async ({ status, headers, body }, failure) => {
    // Its record has the answer.
    if (turn.isDurable) return;
    if (failure !== undefined && (failure.status < 500 || failure.status === 503)) return turn.release();
    const ignored = res.getHeader(IGNORED);
    const told = typeof ignored === 'string' ? { [IGNORED]: ignored } : {};
    return turn.keep({ status, headers: { ...headers, ...told }, body: body.toString() });
  };
  // A stream gives no notice before its end. A client that left has no answer, unless it can fetch it.
  const isAnswered = (): boolean => res.writableFinished || context.isCut === true || context.goesOn === true;
  res.once('close', () => {
    if (!turn.isDurable) void (isAnswered() ? turn.spend() : turn.release());
  });
}
