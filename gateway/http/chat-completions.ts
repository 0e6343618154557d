import type { RequestHandler } from 'express';
import { requestContext } from './request-context.ts';
import type { Answer } from './answer.ts';
import { jsonBody } from './json-body.ts';

/** A request in whatever dialect its route speaks: parse, answer. Failures leave through the error middleware. */
export function chatHandler(answer: Answer, timeoutMs: number): RequestHandler {
  return async (req, res) => {
    // Two steps: what the caller sent, pictures and all, is let go before the long wait for an answer.
    await answer.deliver(res, await answer.ready(res, requestContext(res).dialect.parse(jsonBody(req)), timeoutMs));
  };
}
