import type { RequestHandler } from 'express';
import type { Posts } from '../durable/durable-posts.ts';
import { Failure } from '../failure.ts';
import type { Idempotency } from '../queue/idempotency.ts';
import { requestContext } from './request-context.ts';
import { keyOf, KEY_HEADER } from './run-once.ts';

/**
 * `POST <route>/cancel` with the idempotency key of a stream ends that stream, at any gateway. One that is over stays as it is.
 * @throws Failure `invalid_request` without a key, `answer_not_found`
 */
export function cancelByKey(idempotency: Pick<Idempotency, 'find'>, posts: Pick<Posts, 'cancel'>): RequestHandler {
  return async (req, res) => {
    const key = keyOf(req);
    if (key === undefined)
      throw new Failure('invalid_request', `${KEY_HEADER} must say which stream to cancel`, { param: KEY_HEADER });
    const route = req.path.replace(/\/cancel\/?$/, '');
    const answer = await idempotency.find([requestContext(res).caller.id, route, key]);
    if (answer === undefined) throw new Failure('answer_not_found', `no stream of this key has this ${KEY_HEADER}`);
    res.json({ id: answer.id, status: await posts.cancel(answer) });
  };
}
