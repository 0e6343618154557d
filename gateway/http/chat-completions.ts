import type { RequestHandler } from 'express';
import { requestContext } from './request-context.ts';
import type { Answer } from './answer.ts';
import { jsonBody } from './json-body.ts';

/** A chat request in whatever dialect its route speaks: parse, answer. Failures leave through the error middleware. */
export function chatHandler(answer: Answer, timeoutMs: number): RequestHandler {
  return async (req, res) => {
    const { dialect } = requestContext(res);
    await answer(res, dialect.parse(jsonBody(req)), timeoutMs);
  };
}
