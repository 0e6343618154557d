import type { RequestHandler } from 'express';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../prepare.ts';

/** Cards have no date of creation; OpenAI's clients want a number. */
const CREATED = 0;

/** `GET /v1/models`, as OpenAI lists them; `max_model_len` as vLLM adds it. */
export function listModels(catalog: Catalog): RequestHandler {
  return (_req, res) => {
    res.json({ object: 'list', data: catalog.cards.map(entry) });
  };
}

/** `GET /v1/models/{id}`, by name or alias. */
export function getModel(catalog: Catalog): RequestHandler<{ id: string }> {
  return (req, res) => {
    res.json(entry(findCard({ catalog, unknownModel: 'refuse' }, req.params.id)));
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
