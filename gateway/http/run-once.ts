import type { RequestHandler, Response } from 'express';
import { Failure } from '../failure.ts';
import type { Idempotency, Turn } from '../queue/idempotency.ts';
import { send } from './error-middleware.ts';
import { requestContext } from './request-context.ts';

const HEADER = 'idempotency-key';
const KEY_LIMIT = 255;
/** Headers that, besides the body, define the request. */
const DECIDING = ['azureml-model-deployment', 'extra-parameters', 'x-ms-model-mesh-model-name'] as const;
const IGNORED = 'x-penstock-ignored';

/**
 * A request with `Idempotency-Key` runs once. If the same caller sends it again with the same body, it gets the first
 * answer. Must come after the reading of the body; a request without the header passes immediately.
 * @throws Failure `idempotency_conflict` while it runs, `idempotency_spent` if its answer was not kept,
 * `idempotency_mismatch` for another request, `header_too_long`
 */
export function runOnce(idempotency: Idempotency): RequestHandler {
  return async (req, res, next) => {
    const key = req.headers[HEADER];
    if (typeof key !== 'string' || key === '') {
      next();
      return;
    }
    if (key.length > KEY_LIMIT)
      throw new Failure('header_too_long', `${HEADER} is longer than ${KEY_LIMIT} characters`, {
        param: HEADER,
      });
    const context = requestContext(res);
    const bytes: unknown = req.body;
    const body = Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
    const said = DECIDING.flatMap((name) =>
      req.headers[name] === undefined ? [] : [`${name}: ${String(req.headers[name])}`],
    );
    const begun = await idempotency.begin([context.caller.id, req.path, key], body, said);
    switch (begun.kind) {
      case 'first':
        watch(res, begun.turn);
        next();
        return;
      case 'answered': {
        const { status, headers, body: text } = begun.answer;
        context.fields['replayed'] = true;
        send(res, { status, headers: { ...headers, 'idempotent-replayed': 'true' }, body: text });
        return;
      }
      case 'running':
        throw new Failure('idempotency_conflict', `a request with this ${HEADER} is still running; try again`);
      case 'spent':
        throw new Failure(
          'idempotency_spent',
          `the request with this ${HEADER} was already answered; its answer (a stream, a long one, or one from before a restart of Redis) is not kept`,
        );
      case 'other_body':
        throw new Failure(
          'idempotency_mismatch',
          `this ${HEADER} was sent before with another body or other headers; use a new one for each request`,
          { param: HEADER },
        );
      default:
        begun satisfies never;
    }
  };
}

/**
 * Settles the key before the answer is sent, so that its receiver finds it settled. If the request was refused before
 * it ran, the key is released. If it may have run, the same answer is given again, even a failure.
 */
function watch(res: Response, turn: Turn): void {
  const context = requestContext(res);
  context.beforeAnswer = ({ status, headers, body }, failure) => {
    if (failure !== undefined && (failure.status < 500 || failure.status === 503)) return turn.release();
    const ignored = res.getHeader(IGNORED);
    const told = typeof ignored === 'string' ? { [IGNORED]: ignored } : {};
    return turn.keep({ status, headers: { ...headers, ...told }, body: body.toString() });
  };
  // A stream gives no notice before its end. A client that left has no answer.
  res.once('close', () => void (res.writableFinished || context.isCut === true ? turn.spend() : turn.release()));
}
