import type { RequestHandler } from 'express';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../request/prepare.ts';
import { cardOfRoute, type DeploymentDeps } from './deployment.ts';
import { requestContext } from './request-context.ts';

/**
 * `GET /v1/models`, as OpenAI lists them, for what the caller may use, deployments under their own names too;
 * `max_model_len` as vLLM adds it.
 */
export function listModels({ cards, deployments }: Catalog): RequestHandler {
  const named = [...cards.map((card) => [card.name, card] as const), ...deployments];
  return (_req, res) => {
    const { caller } = requestContext(res);
    const data = named.filter(([, card]) => caller.mayUse(card)).map(([name, card]) => entry(card, name));
    res.json({ object: 'list', data });
  };
}

/** `GET /v1/models/{id}`, by name, alias or deployment; a slash in it as it is or as `%2F`. */
export function getModel(catalog: Catalog): RequestHandler<{ id: string[] }> {
  return (req, res) => {
    const name = req.params.id.filter((part) => part !== '').join('/');
    const card = findCard({ catalog, unknownModel: 'refuse' }, name, requestContext(res).caller);
    res.json(entry(card, catalog.deployments.has(name) ? name : card.name));
  };
}

/** `GET /info` of Azure's inference API. */
export function modelInfo(deps: DeploymentDeps): RequestHandler {
  return (_req, res) => {
    const { name, task, publisher } = cardOfRoute(deps, res);
    res.json({ model_name: name, model_type: task, model_provider_name: publisher ?? 'penstock' });
  };
}

function entry(card: ModelCard, id: string): object {
  return {
    id,
    object: 'model',
    // OpenAI's clients want a number, also of a card that says no date.
    created: card.released === undefined ? 0 : Date.parse(card.released) / 1_000,
    owned_by: card.publisher ?? 'penstock',
    max_model_len: card.limits.context_tokens,
  };
}
