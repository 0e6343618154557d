import type { RequestHandler } from 'express';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../prepare.ts';
import { requestContext } from './request-context.ts';

/** Cards have no date of creation; OpenAI's clients want a number. */
const CREATED = 0;

/** `GET /v1/models`, as OpenAI lists them, for what the caller may use; `max_model_len` as vLLM adds it. */
export function listModels(catalog: Catalog): RequestHandler {
  return (_req, res) => {
    const { caller } = requestContext(res);
    res.json({ object: 'list', data: catalog.cards.filter((card) => caller.mayUse(card)).map(entry) });
  };
}

/** `GET /v1/models/{id}`, by name or alias; a slash in it as it is or as `%2F`. */
export function getModel(catalog: Catalog): RequestHandler<{ id: string[] }> {
  return (req, res) => {
    const name = req.params.id.filter((part) => part !== '').join('/');
    res.json(entry(findCard({ catalog, unknownModel: 'refuse' }, name, requestContext(res).caller)));
  };
}

function entry(card: ModelCard): object {
  return {
    id: card.name,
    object: 'model',
    created: CREATED,
    owned_by: card.publisher ?? 'penstock',
    max_model_len: card.limits.context_tokens,
  };
}
