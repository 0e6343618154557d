import type { RequestHandler } from 'express';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../request/prepare.ts';
import { cardOfRoute, type DeploymentDeps } from './deployment.ts';
import { requestContext } from './request-context.ts';

/**
 * `GET /v1/models` in OpenAI's form: the models and deployments that the caller may use, with vLLM's `max_model_len`.
 */
export function listModels({ cards, deployments }: Catalog): RequestHandler {
  const named = [...cards.map((card) => [card.name, card] as const), ...deployments];
  return (_req, res) => {
    const { caller } = requestContext(res);
    const data = named.filter(([, card]) => caller.mayUse(card)).map(([name, card]) => entry(card, name));
    res.json({ object: 'list', data });
  };
}

/** `GET /v1/models/{id}`, by name, alias or deployment; a slash in it may be plain or `%2F`. */
export function getModel(catalog: Catalog): RequestHandler<{ id: string[] }> {
  return (req, res) => {
    const name = req.params.id.filter((part) => part !== '').join('/');
    const card = findCard({ catalog, unknownModel: 'refuse' }, name, requestContext(res).caller);
    res.json(entry(card, catalog.deployments.has(name) ? name : card.name));
  };
}

/** `GET /info` of Azure's inference API, with the card's notice on responsible use. */
export function modelInfo(deps: DeploymentDeps): RequestHandler {
  return (_req, res) => {
    const { name, task, publisher, responsible_use } = cardOfRoute(deps, res);
    const told = responsible_use === undefined ? {} : { responsible_use };
    res.json({ model_name: name, model_type: task, model_provider_name: publisher ?? 'penstock', ...told });
  };
}

function entry(card: ModelCard, id: string): object {
  return {
    id,
    object: 'model',
    // OpenAI's clients require a number, also for a card without a date.
    created: card.released === undefined ? 0 : Date.parse(card.released) / 1_000,
    owned_by: card.publisher ?? 'penstock',
    max_model_len: card.limits.context_tokens,
  };
}
