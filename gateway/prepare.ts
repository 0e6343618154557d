import type { ChatRequest } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { EnginePath, Kind } from '#contract/job';
import type { Catalog, ModelCard } from '#contract/model-card';
import { compileRules, type CardPolicy, type CardRules } from './admission/card-rules.ts';
import { engineBody, enginePath } from './engine-body.ts';
import type { ImageFacts, ImageResolver } from './images/resolver.ts';

/** A request that passed the card, with its pictures inside. */
interface Prepared {
  readonly card: ModelCard;
  readonly kind: Kind;
  /** the engine's route, and its request */
  readonly path: EnginePath;
  readonly body: Buffer;
  readonly images: readonly ImageFacts[];
}
export type Prepare = (request: ChatRequest, keyId: string, signal: AbortSignal) => Promise<Prepared>;

export interface PrepareDeps {
  readonly catalog: Catalog;
  readonly policy: CardPolicy;
  /** what an unknown `model` means */
  readonly unknownModel: 'refuse' | 'single';
  readonly images: ImageResolver;
}

/**
 * Everything between a dialect and the queue: which card, its rules, the pictures, the engine's request. What can be
 * refused without a picture is refused before one is fetched.
 */
export function createPrepare(deps: PrepareDeps): Prepare {
  const rules = new Map<ModelCard, CardRules>(
    deps.catalog.cards.map((card) => [card, compileRules(card, deps.policy)]),
  );
  return async (request, keyId, signal) => {
    const card = findCard(deps, request.model);
    const rule = rules.get(card) ?? compileRules(card, deps.policy);
    const { kind, maxTokens } = rule.checkBeforeImages(request);
    const resolved = kind === 'image' ? await deps.images.resolve(request, signal) : { request, images: [] };
    rule.checkWithImages(resolved.request, resolved.images);
    const body = engineBody(resolved.request, { model: card.name, maxTokens, cacheSalt: keyId });
    return { card, kind, path: enginePath(request), body, images: resolved.images };
  };
}

/** @throws Failure `model_not_found`; a missing name means the only model served */
export function findCard(deps: Pick<PrepareDeps, 'catalog' | 'unknownModel'>, name: string | undefined): ModelCard {
  const { cards } = deps.catalog;
  const only = cards.length === 1 ? cards[0] : undefined;
  const found =
    name === undefined ? only : (deps.catalog.find(name) ?? (deps.unknownModel === 'single' ? only : undefined));
  if (found !== undefined) return found;
  const served = cards.map((card) => card.name).join(', ');
  const message =
    name === undefined
      ? `say in model which of the served models is meant: ${served}`
      : `the model ${JSON.stringify(name.slice(0, 100))} is not served here; served: ${served}`;
  throw new Failure(name === undefined ? 'invalid_request' : 'model_not_found', message, { param: 'model' });
}
