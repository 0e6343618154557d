import type { ChatMessage, ChatRequest } from './chat.ts';
import { Failure } from '../failure.ts';
import type { EnginePath, Kind } from '#contract/job';
import type { ServiceClass } from '#contract/service-class';
import type { Catalog, ModelCard } from '#contract/model-card';
import { compileRules, type CardPolicy } from './card-rules.ts';
import { specialTokenPattern } from '#contract/special-tokens';
import { costOf, longestAnswer } from './cost.ts';
import { guardSpecialTokens } from './special-tokens.ts';
import { engineBody, enginePath } from './engine-body.ts';
import type { ImageFacts, ImageResolver } from './resolve-images.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';
import type { CacheSalt } from '../keys/cache-salt.ts';
import { ANYONE, type Caller } from '../keys/caller.ts';

/** A request that passed the card's rules, with its pictures. */
export interface Prepared {
  readonly card: ModelCard;
  readonly kind: Kind;
  /** the engine's route for it */
  readonly path: EnginePath;
  readonly body: readonly Buffer[];
  readonly images: readonly ImageFacts[];
  /** the conversation with its pictures resolved */
  readonly messages: readonly ChatMessage[];
  /** prompt tokens of the pictures */
  readonly imageTokens: number;
  /** texts that the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** the class of service that it gets, if it asked for one */
  readonly serviceTier?: ServiceClass;
  /** tokens of the longest answer that it allows */
  readonly longestAnswer: number;
  /** its cost in units of 4 tokens, and the caller's share of the engines */
  readonly share: { readonly cost: number; readonly class: ServiceClass; readonly isOneOfMany: boolean } & Pick<
    Caller,
    'weight' | 'caps'
  >;
}
/** @param pictures the pictures that were held back from the request's body */
export type Prepare = (
  request: ChatRequest,
  pictures: PictureBytes,
  caller: Caller,
  signal: AbortSignal,
) => Promise<Prepared>;

export interface PrepareDeps {
  readonly catalog: Catalog;
  readonly policy: CardPolicy;
  /** what an unknown `model` means */
  readonly unknownModel: 'refuse' | 'single';
  readonly images: ImageResolver;
  readonly cacheSalt: CacheSalt;
}

/**
 * Everything between a dialect and the queue: the card, its rules, the pictures, the engine's request. Refusals that
 * need no picture come before any picture is fetched.
 */
export function createPrepare(deps: PrepareDeps): Prepare {
  const compile = (card: ModelCard) => ({
    rule: compileRules(card, deps.policy),
    guard: guardSpecialTokens(card),
    specialTokens: specialTokenPattern(card.tokens.special.texts),
  });
  const compiled = new Map(deps.catalog.cards.map((card) => [card, compile(card)]));
  return async (asked, pictures, caller, signal) => {
    const card = findCard(deps, asked.model, caller);
    const { rule, guard, specialTokens } = compiled.get(card) ?? compile(card);
    const { kind, maxTokens } = rule.checkBeforeImages(asked);
    const request = guard(asked);
    const resolved =
      kind === 'image' ? await deps.images.resolve(request, pictures, signal, caller.id) : { request, images: [] };
    const imageTokens = rule.checkWithImages(resolved.request, resolved.images);
    const granted = grantedClass(request.serviceTier, caller);
    const serviceTier = request.serviceTier === undefined ? undefined : granted;
    const terms = { model: card.name, maxTokens, serviceTier, cacheSalt: deps.cacheSalt(caller) };
    const body = engineBody(resolved.request, pictures, terms);
    // Counting tokens uses none of an engine's picture slots.
    const queue = request.route === '/tokenize' ? 'text' : kind;
    const { weight, caps } = caller;
    const cost = costOf(resolved.request, imageTokens, maxTokens);
    return {
      card,
      kind: queue,
      path: enginePath(request),
      body,
      images: resolved.images,
      messages: resolved.request.messages,
      imageTokens,
      specialTokens,
      longestAnswer: longestAnswer(resolved.request, maxTokens),
      share: { cost, weight, caps, class: granted, isOneOfMany: caller !== ANYONE },
      ...(serviceTier === undefined ? {} : { serviceTier }),
    };
  };
}

/** The class that a request gets: the one that it asks for if its key may, otherwise the key's usual one. */
function grantedClass(asked: ServiceClass = 'default', { tiers }: Caller): ServiceClass {
  const usual = tiers.includes('default') ? 'default' : tiers.at(-1);
  return tiers.includes(asked) ? asked : (usual ?? 'default');
}

/**
 * Finds the card. A missing name means the only served model, or the only one that the caller may use.
 * @param param path of the name in the caller's request
 * @throws Failure `model_not_found`, `forbidden`, `no_model_name` if several models are possible
 */
export function findCard(
  deps: Pick<PrepareDeps, 'catalog' | 'unknownModel'>,
  name: string | undefined,
  caller: Caller,
  param = 'model',
): ModelCard {
  const cards = deps.catalog.cards.filter((card) => caller.mayUse(card));
  const only = cards.length === 1 ? cards[0] : undefined;
  const named = name === undefined ? only : deps.catalog.find(name);
  const found = named ?? (deps.unknownModel === 'single' ? only : undefined);
  if (found !== undefined && caller.mayUse(found)) return found;
  if (found !== undefined || cards.length === 0)
    throw new Failure('forbidden', `the key ${caller.id} does not allow ${found?.name ?? 'any model served here'}`, {
      param,
    });
  const served = cards.map((card) => card.name).join(', ');
  const message =
    name === undefined
      ? `name one of the served models in ${param}: ${served}`
      : `the model ${JSON.stringify(name.slice(0, 100))} is not served here; served: ${served}`;
  throw new Failure(name === undefined ? 'no_model_name' : 'model_not_found', message, { param });
}
