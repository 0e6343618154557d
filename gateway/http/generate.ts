import type { RequestHandler, Response } from 'express';
import type { ChatRequest } from '../request/chat.ts';
import type { ModelCard } from '#contract/model-card';
import type { StructureLimits } from '../intake/json-structure.ts';
import { PictureBytes } from '../intake/picture-bytes.ts';
import type { Answer } from './deliver.ts';
import { jsonBody } from './json-body.ts';
import { requestContext } from './request-context.ts';

/**
 * A request in whatever dialect its route speaks: parse, answer. Failures leave through the error middleware.
 * @param cardOf the model of a route whose bodies name none
 */
export function chatHandler(
  answer: Answer,
  limits: StructureLimits,
  timeoutMs: number,
  cardOf?: (res: Response) => ModelCard,
): RequestHandler {
  return async (req, res) => {
    const { dialect, chosen, memory } = requestContext(res);
    const card = cardOf?.(res);
    const said = { headers: req.headers, ...(card === undefined ? {} : { card }) };
    const model = card === undefined ? chosen : { model: card.name };
    // Two steps: what the caller sent, pictures and all, is let go before the long wait for an answer.
    const pictures = new PictureBytes(memory);
    const request = dialect.parse(jsonBody(req, limits, pictures), said);
    const ready = await answer.ready(res, choose(request, model), pictures, timeoutMs);
    await answer.deliver(res, ready);
  };
}

/** The request of the deployment that was chosen, whatever its body calls the model. */
function choose(request: ChatRequest, chosen: { readonly model?: string } | undefined): ChatRequest {
  if (chosen === undefined) return request;
  const { model: _, ...rest } = request;
  return { ...rest, ...chosen };
}
