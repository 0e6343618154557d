import type { Request, RequestHandler, Response } from 'express';
import { Failure } from '../failure.ts';
import type { Catalog, ModelCard } from '#contract/model-card';
import { findCard } from '../request/prepare.ts';
import { requestContext } from './request-context.ts';

export interface DeploymentDeps {
  readonly catalog: Catalog;
  /** name of this gateway as one deployment; a caller that sends it has chosen no model */
  readonly deploymentName: string;
  readonly unknownModel: 'refuse' | 'single';
  /** what an unconfigured name in Azure's header means if only one card is served */
  readonly unknownDeployment: 'refuse' | 'single';
}
const HEADER = 'azureml-model-deployment';

/**
 * The deployment in Azure's header. It overrides the body's `model`, and the answer names it as the deployment that
 * answered. An unconfigured name means the only card, because samples and tools send the name of their own endpoint's
 * deployment. It runs before the body is read.
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
 * The deployment in the path. A slash in its name may be plain or `%2F`, because official SDKs differ in that. It
 * decides alone; the body's `model` is ignored (source: Azure OpenAI's SDKs).
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

/** For a client whose deployment name is empty; two slashes are otherwise read as one. */
export function namelessDeployment({ originalUrl }: Request): Failure | undefined {
  if (!/\/deployments\/{2,}(?:chat\/completions|completions|embeddings)\/?(?:\?|$)/.test(originalUrl)) return undefined;
  const message = 'the path names no deployment; it must be /openai/deployments/NAME/…';
  return new Failure('deployment_not_found', message, { param: 'deployment' });
}

/** The model of a route whose body names none. @throws Failure as `findCard`, naming the header */
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
