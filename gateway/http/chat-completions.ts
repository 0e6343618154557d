import type { RequestHandler, Response } from 'express';
import type { ChatRequest } from '#contract/chat';
import type { ModelCard } from '#contract/model-card';
import { requestContext } from './request-context.ts';
import type { Answer } from './answer.ts';
import { jsonBody } from './json-body.ts';

/**
 * A request in whatever dialect its route speaks: parse, answer. Failures leave through the error middleware.
 * @param cardOf the model of a route whose bodies name none
 */
export function chatHandler(answer: Answer, timeoutMs: number, cardOf?: (res: Response) => ModelCard): RequestHandler {
  return async (req, res) => {
    const { dialect, chosen } = requestContext(res);
    const card = cardOf?.(res);
    const said = { headers: req.headers, ...(card === undefined ? {} : { card }) };
    const model = card === undefined ? chosen : { model: card.name };
    // Two steps: what the caller sent, pictures and all, is let go before the long wait for an answer.
    const ready = await answer.ready(res, choose(dialect.parse(jsonBody(req), said), model), timeoutMs);
    await answer.deliver(res, ready);
  };
}

/** The request of the deployment that was chosen, whatever its body calls the model. */
function choose(request: ChatRequest, chosen: { readonly model?: string } | undefined): ChatRequest {
  if (chosen === undefined) return request;
  const { model: _, ...rest } = request;
  return { ...rest, ...chosen };
}
