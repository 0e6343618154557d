import { contentPath } from './chat.ts';
import type { ChatRequest, Prompt } from './chat.ts';
import { Failure } from '../failure.ts';
import type { Kind } from '#contract/job';
import type { ModelCard } from '#contract/model-card';
import { cardWords, counted, mostImages, mostPrompts, sidesInWords } from './card-words.ts';
import { LEAST_IMAGE_TOKENS, imageTokens, largestRatio } from './image-tokens.ts';
import type { ImageShape } from './image-tokens.ts';

/** What the operator decides because the card does not. */
export interface CardPolicy {
  /** a request above the card's largest answer: refused, or served with the largest */
  readonly maxTokens: 'refuse' | 'clamp';
  /** largest number of choices in one request */
  readonly maxChoices: number;
}

interface Verdict {
  /** the queue that the request belongs to */
  readonly kind: Kind;
  /** limit for the answer that the engine gets, in tokens */
  readonly maxTokens: number;
}

/** A model card as rules. Each refusal says what was requested, what is allowed, and whose rule it is. */
export interface CardRules {
  /**
   * All checks that need no picture.
   * @throws Failure `too_many_images`, `batch_not_supported`, `unsupported_parameter` for tools, `max_tokens_exceeded`,
   * `invalid_request` for a token outside the vocabulary or a least answer above the largest, `context_length_exceeded`
   */
  checkBeforeImages(request: ChatRequest): Verdict;
  /**
   * The checks that need the pictures' sizes.
   * @param images the request's pictures in their order
   * @returns the tokens of all pictures together
   * @throws Failure `invalid_image` for a shape that the engine cannot tile, `context_length_exceeded`
   */
  checkWithImages(request: ChatRequest, images: readonly ImageShape[]): number;
}

/** Compiles a card once, at start. */
export function compileRules(card: ModelCard, policy: CardPolicy): CardRules {
  const { limits } = card;
  const words = cardWords(card, policy.maxChoices);
  const allowedImages = mostImages(card);
  const refuse = (
    code: 'too_many_images' | 'batch_not_supported' | 'max_tokens_exceeded' | 'context_length_exceeded',
    message: string,
    numbers: { readonly param: string; readonly asked: number; readonly allowed: number },
  ): Failure => new Failure(code, `${card.name} ${message}`, { ...numbers, card: card.name });

  const checkImages = (request: ChatRequest): number => {
    const params = imageParams(request);
    const asked = params.length;
    const surplus = params.slice(allowedImages);
    const [param] = surplus;
    if (param === undefined) return asked;
    const message = `${words.images}; this one has ${asked}; ${listed(surplus)} too many`;
    throw refuse('too_many_images', message, { param, asked, allowed: allowedImages });
  };
  const checkBatch = ({ prompts, messagesParam }: ChatRequest): void => {
    const asked = prompts?.length ?? 1;
    const allowed = mostPrompts(card);
    if (asked <= allowed) return;
    const holds = `${words.prompts}; ${messagesParam} holds ${asked}`;
    const message = `${holds}: send ${allowed === 1 ? 'each prompt' : 'the rest'} in a request of its own`;
    throw refuse('batch_not_supported', message, { param: messagesParam, asked, allowed });
  };
  const checkChoices = ({ choices, prompts, maxTokensParam }: ChatRequest): void => {
    if (choices === 1) return;
    const allowed = policy.maxChoices;
    const asked = choices * (prompts?.length ?? 1);
    if (asked <= allowed) return;
    const message = `${words.choices}; this one asks for ${asked}: send it again for each further one`;
    throw refuse('batch_not_supported', message, { param: beside(maxTokensParam, 'n'), asked, allowed });
  };
  const checkTools = ({ sampling }: ChatRequest): void => {
    if (limits.tools || sampling['tools'] === undefined) return;
    throw new Failure('unsupported_parameter', `${card.name} ${words.tools}; send the request without them`, {
      param: 'tools',
      card: card.name,
    });
  };
  const checkIds = (request: ChatRequest): void => {
    const { vocabulary } = card.tokens;
    if (vocabulary === undefined) return;
    for (const { ids, param } of namedIds(request)) {
      const at = ids.findIndex((id) => Number(id) >= vocabulary);
      const id = ids[at];
      if (id === undefined) continue;
      const inside = typeof id === 'number' ? `${param}[${at}]` : `${param}.${id}`;
      const message = `${card.name} has tokens from 0 to ${vocabulary - 1}; ${inside} names the token ${id}`;
      const numbers = { asked: Number(id), allowed: vocabulary - 1 };
      throw new Failure('invalid_request', message, { param: inside, ...numbers, card: card.name });
    }
  };
  const answerTokens = ({ maxTokens, maxTokensParam }: ChatRequest): number => {
    const allowed = limits.max_output_tokens;
    if (maxTokens === undefined) return limits.default_output_tokens;
    if (maxTokens <= allowed || policy.maxTokens === 'clamp') return Math.min(maxTokens, allowed);
    const message = `${words.answer}; ${maxTokensParam} asks for ${maxTokens}`;
    throw refuse('max_tokens_exceeded', message, { param: maxTokensParam, asked: maxTokens, allowed });
  };
  const checkLeast = ({ sampling, maxTokensParam }: ChatRequest, maxTokens: number): void => {
    const least = sampling['min_tokens'];
    if (typeof least !== 'number' || least <= maxTokens) return;
    const param = beside(maxTokensParam, 'min_tokens');
    const message = `${param} must be at most the ${counted(maxTokens, 'token')} of the answer, got ${least}`;
    throw new Failure('invalid_request', message, { param, asked: least, allowed: maxTokens });
  };
  const checkContext = (request: ChatRequest, tokensOfImages: number): void => {
    const longest = card.tokens.longest_token_characters;
    const ofPrompts = (request.prompts ?? []).map((prompt) => leastTokens(prompt, longest));
    const asked = Math.max(Math.ceil(textLength(request) / longest) + tokensOfImages, ...ofPrompts);
    const allowed = limits.context_tokens;
    if (asked <= allowed) return;
    const message = `${words.context}; ${request.messagesParam} has at least ${asked}`;
    throw refuse('context_length_exceeded', message, { param: request.messagesParam, asked, allowed });
  };

  return {
    checkBeforeImages: (request) => {
      const images = checkImages(request);
      checkBatch(request);
      checkChoices(request);
      checkTools(request);
      checkIds(request);
      const maxTokens = answerTokens(request);
      checkLeast(request, maxTokens);
      checkContext(request, images * LEAST_IMAGE_TOKENS);
      return { kind: images === 0 ? 'text' : 'image', maxTokens };
    },
    checkWithImages: (request, images) => {
      const formula = card.tokens.image;
      if (formula === undefined || images.length === 0) return 0;
      let sum = 0;
      for (const { param, width, height } of images) {
        const tokens = imageTokens(formula, width, height);
        if (tokens === 0) throw tooLong(card.name, { param, width, height }, largestRatio(formula));
        sum += tokens;
      }
      checkContext(request, sum);
      return sum;
    },
  };
}

function tooLong(card: string, { param, width, height }: ImageShape, allowed: number): Failure {
  const size = `${width} by ${height} pixels`;
  const message = `${card} ${sidesInWords(allowed)}; ${param} has ${size}`;
  const asked = Math.max(width, height) / Math.min(width, height);
  return new Failure('invalid_image', message, { param, asked, allowed, card });
}

/** Path of each picture of the conversation, earlier messages included. */
function imageParams({ messages, messagesParam }: ChatRequest): string[] {
  return messages.flatMap((message, at) =>
    typeof message.content === 'string' || message.content === null
      ? []
      : message.content.flatMap((part, index) =>
          part.type === 'image_url' ? [`${contentPath(messagesParam, message, at)}[${index}]`] : [],
        ),
  );
}

/** UTF-16 units of all texts, the unit of a card's longest token. */
export function textLength({ messages, instructions }: ChatRequest): number {
  let units = instructions?.length ?? 0;
  for (const { content } of messages) {
    if (typeof content === 'string') units += content.length;
    else for (const part of content ?? []) if (part.type === 'text') units += part.text.length;
  }
  return units;
}

/** Each id is one token. A text has at least as many tokens as the longest token fits into it. */
function leastTokens(prompt: Prompt, longest: number): number {
  return typeof prompt === 'string' ? Math.ceil(prompt.length / longest) : prompt.length;
}

/** Fields whose texts or lists name tokens by id. */
const TOKEN_FIELDS = ['stop_token_ids', 'allowed_token_ids', 'logprob_token_ids', 'logit_bias'] as const;

/** Every list of token ids of a request, as numbers or as the keys of an object, and where the caller wrote it. */
function namedIds(request: ChatRequest): { readonly ids: readonly (number | string)[]; readonly param: string }[] {
  const { prompts = [], messagesParam, maxTokensParam, sampling } = request;
  const ofPrompts = prompts.map((ids, index) => ({
    ids: typeof ids === 'string' ? [] : ids,
    param: prompts.length === 1 ? messagesParam : `${messagesParam}[${index}]`,
  }));
  const ofFields = TOKEN_FIELDS.map((name) => {
    const value = sampling[name] ?? [];
    const ids = Array.isArray(value) ? value.filter((id) => typeof id === 'number') : Object.keys(value);
    return { ids, param: beside(maxTokensParam, name) };
  });
  return [...ofPrompts, ...ofFields];
}

/** Path of a field beside another in the caller's body. */
function beside(param: string, name: string): string {
  return param.slice(0, param.lastIndexOf('.') + 1) + name;
}

/** Limit for the surplus pictures that a refusal lists; a client may send thousands. */
const MOST_NAMED = 16;

function listed(places: readonly string[]): string {
  const named = places.slice(0, MOST_NAMED);
  const more = places.length - named.length;
  const all = more > 0 ? [...named, `${more} more`] : named;
  const last = all.at(-1) ?? '';
  return all.length === 1 ? `${last} is one` : `${all.slice(0, -1).join(', ')} and ${last} are`;
}
