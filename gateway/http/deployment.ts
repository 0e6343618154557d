import type { Request, RequestHandler, Response } from 'express';
import { Failure } from '../failure.ts';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../request/prepare.ts';
import { requestContext } from './request-context.ts';

export interface DeploymentDeps {
  readonly catalog: Catalog;
  /** name of this gateway as one deployment: whoever names it has chosen no model by it */
  readonly deploymentName: string;
  readonly unknownModel: 'refuse' | 'single';
  /** what a name in Azure's header means that nobody configured, where one card is served */
  readonly unknownDeployment: 'refuse' | 'single';
}
const HEADER = 'azureml-model-deployment';

/**
 * The deployment that Azure's header names. It decides before the body's `model`, and is told back, as the one that
 * answered. A name that nobody configured means the only card: samples and tools send the name of their own endpoint's
 * deployment. Before the body is read.
 * @throws Failure `deployment_not_found`
 */
export function deploymentByHeader(deps: DeploymentDeps): RequestHandler {
  return (req, res, next) => {
    const name = req.headers[HEADER];
    if (typeof name === 'string' && name !== '' && name !== deps.deploymentName) {
      const [only, ...others] = deps.catalog.cards;
      const named = deps.catalog.find(name);
      const instead = others.length === 0 && deps.unknownDeployment === 'single' ? only : undefined;
      const card = named ?? instead ?? cardOf(deps, name, HEADER);
      if (card !== undefined) {
        requestContext(res).chosen = { model: card.name };
        const told = named === undefined ? card.name : name;
        for (const header of [HEADER, 'azureml-model-session']) res.setHeader(header, told);
      }
    }
    next();
  };
}

/**
 * The deployment in the path, a slash in its name as it is or as `%2F`: official SDKs differ in that. It decides alone;
 * the body's `model` may be anything (source: Azure OpenAI's SDKs).
 * @throws Failure `deployment_not_found`
 */
export function deploymentByPath(deps: DeploymentDeps): RequestHandler {
  return (req, res, next) => {
    const nameless = namelessDeployment(req);
    if (nameless !== undefined) throw nameless;
    const name = [req.params['deployment'] ?? []].flat().join('/');
    const card = name === deps.deploymentName ? undefined : cardOf(deps, name, 'deployment');
    requestContext(res).chosen = card === undefined ? {} : { model: card.name };
    next();
  };
}

/** Of a client whose setting of a name is empty; two slashes are otherwise read as one. */
export function namelessDeployment({ originalUrl }: Request): Failure | undefined {
  if (!/\/deployments\/{2,}(?:chat\/completions|completions|embeddings)\/?(?:\?|$)/.test(originalUrl)) return undefined;
  const message = 'the path names no deployment; it must be /openai/deployments/NAME/…';
  return new Failure('deployment_not_found', message, { param: 'deployment' });
}

/** The model behind a route whose body names none. @throws Failure as `findCard`, telling of the header */
export function cardOfRoute({ catalog, unknownModel }: DeploymentDeps, res: Response): ModelCard {
  const { chosen, caller } = requestContext(res);
  return findCard({ catalog, unknownModel }, chosen?.model, caller, HEADER);
}

function cardOf({ catalog, unknownModel }: DeploymentDeps, name: string, param: string): ModelCard | undefined {
  const card = catalog.find(name);
  if (card !== undefined || unknownModel === 'single') return card;
  const message = `${param}: there is no deployment ${JSON.stringify(name.slice(0, 100))} here`;
  throw new Failure('deployment_not_found', message, { param });
}
