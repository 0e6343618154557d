import type { ChatRequest, JsonValue } from '../request/chat.ts';
import type { EnginePath } from '#contract/job';
import type { ByteBudget } from './byte-budget.ts';
import { closingEvent, readDelivered, type Delivered } from './delivered.ts';
import { DONE_EVENT } from './engine/events.ts';
import { refusalProbe } from './refusal-probe.ts';
import { RestRequest, type CountTokens } from './rest-request.ts';
import { SentBytes } from './sent-bytes.ts';

/**
 * Decides whether and how a stream goes on after its attempt was lost. A plain-text answer goes on at another engine:
 * the gateway sends the conversation again, with the text delivered so far as an assistant prefix. Measured on vLLM
 * 0.32 and 0.33, ordinary text at temperature 0 goes on identically.
 */

/** Fields with which a continuation would not be what the caller requested, and the reason. */
const REFUSED_FIELDS: readonly (readonly [reason: string, fields: readonly string[]])[] = [
  ['tools', ['tools', 'tool_choice']],
  ['structured', ['response_format', 'structured_outputs']],
  ['penalties', ['frequency_penalty', 'presence_penalty']],
  [
    'unsupported_field',
    ['prompt_logprobs', 'echo', 'return_token_ids', 'use_beam_search', 'include_stop_str_in_output', 'stream_interval'],
  ],
];

/** Why a request's stream can never be continued; undefined if it can. */
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

/** A value that means the same as absence does not count. */
function isSet(name: string, value: JsonValue | undefined): boolean {
  if (value === undefined || value === null || value === false || value === 0) return false;
  if (name === 'tool_choice') return value !== 'none';
  if (name === 'response_format') return !(typeof value === 'object' && 'type' in value && value['type'] === 'text');
  return true;
}

/** The facts about a request that its continuation needs. */
export interface Continuable {
  readonly question: { readonly path: EnginePath; readonly model: string };
  /** texts that the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** see `neverContinued` */
  readonly never: string | undefined;
}

/** Limits of the bytes kept of streams for their continuation. */
export interface ContinuationLimits {
  /** of all streams together */
  readonly budget: ByteBudget;
  /** of one stream; a longer stream cannot be continued */
  readonly streamBytes: number;
}

/** State of a stream when its attempt was lost. */
export interface Standing {
  /** the client has events of it */
  readonly isBegun: boolean;
  /** the engine reported why it failed */
  readonly isReported: boolean;
  /** everything that was requested has arrived, except perhaps the end mark */
  readonly isFinished: boolean;
  /** the caller requested the closing usage event, and it has not arrived */
  readonly owesUsage: boolean;
}

export type Next =
  /** from its start: the client has no part of it */
  | { readonly kind: 'again'; readonly body: Buffer }
  /** the engine is asked for its refusal; no part of this answer belongs to the stream */
  | { readonly kind: 'probe'; readonly body: Buffer }
  /** with the rest, whose events follow the `first` one that the client has; its prompt holds `delivered` tokens */
  | {
      readonly kind: 'rest';
      readonly body: Buffer;
      readonly delivered: number;
      readonly first: Pick<Delivered, 'id' | 'created'>;
    }
  /** only the end is missing */
  | { readonly kind: 'close'; readonly ending: Buffer }
  | { readonly kind: 'impossible'; readonly reason: string };

/** How the events of an epoch follow those of the one before, without its request. `close`: these events are the end. */
export type StreamSeam =
  | { readonly kind: 'again' | 'probe' }
  | { readonly kind: 'close'; readonly ending: string }
  | { readonly kind: 'rest'; readonly delivered: number; readonly id: string; readonly created: number };

/** The continuation of one stream. */
export class Continuation {
  readonly #asked: Continuable;
  readonly #countTokens: CountTokens;
  readonly #onDecided: (outcome: string) => void;
  /** absent if the stream can never be continued */
  readonly #sent: SentBytes | undefined;
  /** the request whose refusal was asked for */
  #probed: Buffer | undefined;
  /** how a further epoch follows the first, and the length of what was sent before it */
  #joined:
    { readonly first: Pick<Delivered, 'id' | 'created'>; readonly delivered: number; readonly at: number } | undefined;

  /** @param onDecided how a stream goes on that its client has in part: `continued`, `closed`, or the reason why not */
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

  /** @param events complete events that are sent to the client, end to end; they are copied */
  add(events: Buffer): void {
    this.#sent?.add(events);
  }

  /** Call it when the request is over, however it ended. */
  release(): void {
    this.#sent?.release();
  }

  /** @param original the engine's request of the attempt that was lost */
  async decide(original: Buffer, stream: Standing): Promise<Next> {
    if (!stream.isBegun) return stream.isReported ? { kind: 'again', body: original } : this.#fromStart(original);
    const next = await this.#goOn(original, stream);
    const went = next.kind === 'close' ? 'closed' : 'continued';
    this.#onDecided(next.kind === 'impossible' ? next.reason : went);
    return next;
  }

  /**
   * A stream of `/v1/responses` that breaks off before its first word. vLLM does that if its engine refuses the request
   * (a grammar that cannot be built, a token id outside the vocabulary). A lost engine looks the same (source: vLLM
   * 0.32, recorded). If it is asked for one token without a stream, an engine answers with its refusal. Without a
   * refusal, the request runs again.
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
      // A second epoch without any event, because its engine was dying too, changes nothing.
      const { first, delivered, at } = this.#joined;
      return sent.length === at
        ? { kind: 'rest', body: original, first, delivered }
        : { kind: 'impossible', reason: 'second_loss' };
    }
    const delivered = readDelivered(sent);
    if (delivered === undefined) return { kind: 'impossible', reason: 'unreadable' };
    const plan = await planContinuation(original, delivered, this.#countTokens, specialTokens);
    if (plan.kind === 'impossible') return plan;
    if (plan.kind === 'close')
      return close(stream, Buffer.concat([closingEvent(delivered, question.model), DONE_EVENT]));
    const { id, created } = delivered;
    this.#joined = { first: { id, created }, delivered: plan.tokens, at: sent.length };
    return { kind: 'rest', body: plan.body, first: { id, created }, delivered: plan.tokens };
  }
}

/** Only the lost engine knew the length of the prompt. */
function close({ owesUsage }: Standing, ending: Buffer): Next {
  return owesUsage ? { kind: 'impossible', reason: 'usage_unknown' } : { kind: 'close', ending };
}

type Plan =
  /** the engine's request, and how many tokens of the answer its prompt holds */
  | { readonly kind: 'rest'; readonly body: Buffer; readonly tokens: number }
  /** every requested token has arrived: only the end is missing */
  | { readonly kind: 'close' }
  | { readonly kind: 'impossible'; readonly reason: string };

/**
 * The engine's request for the remaining answer, less the delivered tokens. An engine counts these tokens, because one
 * event of a busy engine holds several. If no engine counts, events are counted.
 * @param original the engine's request of the first epoch
 * @param specialTokens texts that the model's engine reads as control tokens; the prefix must not hold any
 */
export async function planContinuation(
  original: Buffer,
  delivered: Delivered,
  countTokens: CountTokens,
  specialTokens: RegExp,
): Promise<Plan> {
  if (delivered.other) return { kind: 'impossible', reason: 'not_text' };
  // An incomplete character at the end would make the engine's decoder answer with the prompt.
  const prefix = delivered.text.replace(/\uFFFD+$/, '');
  // The client has no text yet: send the original request again.
  if (prefix.trim() === '') return { kind: 'rest', body: original, tokens: 0 };
  const rest = new RestRequest(original, prefix);
  // This includes a token whose two halves are the caller's and the model's.
  if (rest.beginning.search(specialTokens) !== -1) return { kind: 'impossible', reason: 'control_tokens' };
  const tokens = (await rest.countDelivered(countTokens)) ?? delivered.events;
  return tokens < rest.maxTokens ? { kind: 'rest', body: rest.write(tokens), tokens } : { kind: 'close' };
}
