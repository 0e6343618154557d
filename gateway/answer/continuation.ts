import type { ChatRequest, JsonValue } from '../request/chat.ts';
import type { EnginePath } from '#contract/job';
import type { ByteBudget } from './byte-budget.ts';
import { closingEvent, followOn, readDelivered, type Delivered } from './delivered.ts';
import type { Join } from './engine/event-watch.ts';
import { DONE_EVENT } from './engine/events.ts';
import { refusalProbe } from './refusal-probe.ts';
import { RestRequest, type CountTokens } from './rest-request.ts';
import { SentBytes } from './sent-bytes.ts';

/**
 * Whether and how a stream goes on whose attempt was lost: all of it is decided here. A plain-text answer goes on at
 * another engine: the conversation is sent again with the text delivered so far as an assistant prefix. How exact that is
 * was measured on vLLM 0.32 and 0.33: for ordinarily spelled text at temperature 0 it goes on identically.
 */

/** Fields under which a continuation would not be what the caller asked for, and why it is refused. */
const REFUSED_FIELDS: readonly (readonly [reason: string, fields: readonly string[]])[] = [
  ['tools', ['tools', 'tool_choice']],
  ['structured', ['response_format', 'structured_outputs']],
  ['penalties', ['frequency_penalty', 'presence_penalty']],
  [
    'unsupported_field',
    ['prompt_logprobs', 'echo', 'return_token_ids', 'use_beam_search', 'include_stop_str_in_output', 'stream_interval'],
  ],
];

/** Why a request's stream could never be continued; undefined when it could. */
export function neverContinued(
  path: EnginePath,
  { sampling, choices }: Pick<ChatRequest, 'sampling' | 'choices'>,
): string | undefined {
  if (path === '/v1/responses') return 'responses';
  if (path !== '/v1/chat/completions') return 'not_chat';
  if (choices > 1) return 'choices';
  for (const [reason, fields] of REFUSED_FIELDS) if (fields.some((name) => isSet(name, sampling[name]))) return reason;
  return undefined;
}

/** Values that mean the same as absence do not stand in the way. */
function isSet(name: string, value: JsonValue | undefined): boolean {
  if (value === undefined || value === null || value === false || value === 0) return false;
  if (name === 'tool_choice') return value !== 'none';
  if (name === 'response_format') return !(typeof value === 'object' && 'type' in value && value['type'] === 'text');
  return true;
}

/** What is to be known of a request whose stream may be lost. */
export interface Continuable {
  readonly question: { readonly path: EnginePath; readonly model: string };
  /** what the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** see `neverContinued` */
  readonly never: string | undefined;
}

/** What may be kept of streams for their continuation, in bytes. */
export interface ContinuationLimits {
  /** of all streams together */
  readonly budget: ByteBudget;
  /** of one stream; a longer one cannot be continued */
  readonly streamBytes: number;
}

/** How a stream stands whose attempt was lost. */
export interface Standing {
  /** the client has events of it */
  readonly isBegun: boolean;
  /** all that was asked for came, be the end mark missing */
  readonly isFinished: boolean;
  /** the caller asked for the closing usage event, and it has not come */
  readonly owesUsage: boolean;
}

export type Next =
  /** from its start: the client has nothing of it */
  | { readonly kind: 'again'; readonly body: Buffer }
  /** the engine is asked for its refusal; nothing of the answer is the stream's */
  | { readonly kind: 'probe'; readonly body: Buffer }
  /** with the rest, whose events are made to follow those that the client has */
  | { readonly kind: 'rest'; readonly body: Buffer; readonly join: Join }
  /** nothing but the end is missing */
  | { readonly kind: 'close'; readonly ending: Buffer }
  | { readonly kind: 'impossible'; readonly reason: string };

/** The continuation of one stream. */
export class Continuation {
  readonly #asked: Continuable;
  readonly #countTokens: CountTokens;
  readonly #onDecided: (outcome: string) => void;
  /** absent where it would be of no use */
  readonly #sent: SentBytes | undefined;
  /** the request that was asked for its refusal */
  #probed: Buffer | undefined;
  /** how a further epoch follows the first, and the length of what was sent by then */
  #joined: { readonly join: Join; readonly at: number } | undefined;

  /** @param onDecided how a stream of which the client has something goes on: `continued`, `closed`, or the reason why not */
  constructor(
    asked: Continuable,
    limits: ContinuationLimits,
    countTokens: CountTokens,
    onDecided: (outcome: string) => void,
  ) {
    this.#asked = asked;
    this.#countTokens = countTokens;
    this.#onDecided = onDecided;
    if (asked.never === undefined) this.#sent = new SentBytes(limits.budget, limits.streamBytes);
  }

  /** @param events that are sent to the client, whole and end to end; they are copied */
  add(events: Buffer): void {
    this.#sent?.add(events);
  }

  /** To be called when the request is over, however it ended. */
  release(): void {
    this.#sent?.release();
  }

  /** @param original the engine's request of the attempt that was lost */
  async decide(original: Buffer, stream: Standing): Promise<Next> {
    if (!stream.isBegun) return this.#fromStart(original);
    const next = await this.#goOn(original, stream);
    const went = next.kind === 'close' ? 'closed' : 'continued';
    this.#onDecided(next.kind === 'impossible' ? next.reason : went);
    return next;
  }

  /**
   * A stream of `/v1/responses` that breaks off before its first word: vLLM does that where its engine refuses the request
   * (a grammar that cannot be built, a token id outside the vocabulary), and a lost engine looks the same (source: vLLM
   * 0.32, recorded). Asked for one token without a stream an engine says its refusal; if it has none, the request runs again.
   */
  #fromStart(original: Buffer): Next {
    if (this.#asked.question.path !== '/v1/responses') return { kind: 'again', body: original };
    if (this.#probed !== undefined) return { kind: 'again', body: this.#probed };
    this.#probed = original;
    return { kind: 'probe', body: refusalProbe(original) };
  }

  async #goOn(original: Buffer, stream: Standing): Promise<Next> {
    const { never, question, specialTokens } = this.#asked;
    if (stream.isFinished) return close(stream, DONE_EVENT);
    if (never !== undefined) return { kind: 'impossible', reason: never };
    const sent = this.#sent?.read();
    if (sent === undefined) return { kind: 'impossible', reason: 'too_long' };
    if (this.#joined !== undefined) {
      // A second epoch that brought nothing, as its engine was just dying, leaves all as it was.
      const { join, at } = this.#joined;
      return sent.length === at
        ? { kind: 'rest', body: original, join }
        : { kind: 'impossible', reason: 'second_loss' };
    }
    const delivered = readDelivered(sent);
    if (delivered === undefined) return { kind: 'impossible', reason: 'unreadable' };
    const plan = await planContinuation(original, delivered, this.#countTokens, specialTokens);
    if (plan.kind === 'impossible') return plan;
    if (plan.kind === 'close')
      return close(stream, Buffer.concat([closingEvent(delivered, question.model), DONE_EVENT]));
    const join = followOn(delivered, plan.tokens);
    this.#joined = { join, at: sent.length };
    return { kind: 'rest', body: plan.body, join };
  }
}

/** How long the prompt was is known to the lost engine alone. */
function close({ owesUsage }: Standing, ending: Buffer): Next {
  return owesUsage ? { kind: 'impossible', reason: 'usage_unknown' } : { kind: 'close', ending };
}

type Plan =
  /** what the engine is asked for, and how many tokens of the answer its prompt holds */
  | { readonly kind: 'rest'; readonly body: Buffer; readonly tokens: number }
  /** every token that was asked for is there: only the end is missing */
  | { readonly kind: 'close' }
  | { readonly kind: 'impossible'; readonly reason: string };

/**
 * The engine's request for the rest, less the tokens that are there. These an engine counts, as one event of a busy one
 * holds several; where it does not, events are counted.
 * @param original the engine's request of the first epoch
 * @param specialTokens what the model's engine reads as control tokens, which the prefix must not hold
 */
export async function planContinuation(
  original: Buffer,
  delivered: Delivered,
  countTokens: CountTokens,
  specialTokens: RegExp,
): Promise<Plan> {
  if (delivered.other) return { kind: 'impossible', reason: 'not_text' };
  // The decoder of an engine that ends inside a character would answer with the prompt.
  const prefix = delivered.text.replace(/\uFFFD+$/, '');
  // The client has no text yet: the original request again.
  if (prefix.trim() === '') return { kind: 'rest', body: original, tokens: 0 };
  const rest = new RestRequest(original, prefix);
  // Also one whose two halves are the caller's and the model's.
  if (rest.beginning.search(specialTokens) !== -1) return { kind: 'impossible', reason: 'control_tokens' };
  const tokens = (await rest.countDelivered(countTokens)) ?? delivered.events;
  return tokens < rest.maxTokens ? { kind: 'rest', body: rest.write(tokens), tokens } : { kind: 'close' };
}
