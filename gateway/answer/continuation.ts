import { z } from 'zod';
import type { JsonValue } from '../request/chat.ts';
import { readEngineRequest } from '../intake/engine-request.ts';
import type { Members } from './engine/event-watch.ts';
import { parseJson } from './engine/json.ts';

/**
 * A plain-text answer whose engine was lost goes on at another engine: the conversation is sent again with the text
 * delivered so far as an assistant prefix. How exact that is was measured on vLLM 0.32 and 0.33: for ordinarily spelled
 * text at temperature 0 it goes on identically.
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
const Body = z.looseObject({
  model: z.string(),
  messages: z.array(z.looseObject({ role: z.string(), content: z.unknown() })),
  max_tokens: z.number(),
  min_tokens: z.number().optional(),
  seed: z.number().optional(),
  continue_final_message: z.boolean().optional(),
});
const Delta = z.object({
  role: z.string().optional(),
  content: z.string().nullish(),
  tool_calls: z.array(z.unknown()).nullish(),
  reasoning: z.string().nullish(),
});
const Event = z.looseObject({
  id: z.string(),
  created: z.number(),
  model: z.string(),
  choices: z.array(z.looseObject({ delta: Delta })),
});

/** What a client has of a stream: the identity of its first event, the text, how many tokens. */
export interface Delivered {
  readonly id: string;
  readonly created: number;
  readonly text: string;
  /** choice events after the role event: one a token, but for those that a busy engine put into one event */
  readonly events: number;
  /** something other than text came: tool calls, reasoning */
  readonly other: boolean;
}

/** Why a request's stream could never be continued; undefined when it could. @param sampling fields for the engine */
export function neverContinued(sampling: Readonly<Record<string, JsonValue>>, choices: number): string | undefined {
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

/**
 * Reads back what was sent: whole SSE events, end to end.
 * @returns undefined when one of them cannot be read, or none carries a choice yet
 */
export function readDelivered(sent: Buffer): Delivered | undefined {
  let first: z.infer<typeof Event> | undefined;
  let text = '';
  let events = 0;
  let other = false;
  for (const block of sent.toString('utf8').split('\n\n')) {
    if (block === '') continue;
    const event = Event.safeParse(parseJson(Buffer.from(block.slice('data: '.length)))).data;
    // What it holds would be missing from the beginning that the rest is asked for.
    if (event === undefined) return undefined;
    const choice = event.choices[0];
    if (choice === undefined) continue;
    first ??= event;
    const { role, content, tool_calls: calls, reasoning } = choice.delta;
    if (role === undefined) events += 1;
    text += content ?? '';
    other ||= (calls ?? []).length > 0 || (reasoning ?? '') !== '';
  }
  return first === undefined ? undefined : { id: first.id, created: first.created, text, events, other };
}

export type Continuation =
  /** the client has no text yet: the original request again */
  | { readonly kind: 'again' }
  | { readonly kind: 'continue'; readonly body: Buffer; readonly tokens: number }
  /** every token that was asked for is there: only the end is missing */
  | { readonly kind: 'close' }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * How many tokens a request of `/tokenize` has. @returns undefined when no engine says so
 * @param body the engine's request
 */
export type CountTokens = (body: Buffer) => Promise<number | undefined>;

/**
 * The engine's request for the rest, less the tokens that are there. These an engine counts, as one event of a busy one
 * holds several; where it does not, events are counted.
 * @param original the engine's request of the first life
 * @param specialTokens what the model's engine reads as control tokens, which the prefix must not hold
 */
export async function planContinuation(
  original: Buffer,
  delivered: Delivered,
  countTokens: CountTokens,
  specialTokens: RegExp,
): Promise<Continuation> {
  if (delivered.other) return { kind: 'refused', reason: 'not_text' };
  // The decoder of an engine that ends inside a character would answer with the prompt.
  const prefix = delivered.text.replace(/\uFFFD+$/, '');
  if (prefix.trim() === '') return { kind: 'again' };
  const request = readEngineRequest(original);
  const body = Body.parse(request.body);
  const { messages } = body;
  const last = messages.at(-1);
  // The caller's own beginning of the answer, which its prompt ends with.
  const begun =
    body.continue_final_message === true && last?.role === 'assistant' && typeof last.content === 'string'
      ? last.content
      : undefined;
  // Also one whose two halves are the caller's and the model's.
  if (((begun ?? '') + prefix).search(specialTokens) !== -1) return { kind: 'refused', reason: 'control_tokens' };
  const tokens = (await countDelivered(body.model, begun, prefix, countTokens)) ?? delivered.events;
  const left = body.max_tokens - tokens;
  if (left <= 0) return { kind: 'close' };
  const prefixed =
    begun === undefined
      ? [...messages, { role: 'assistant', content: prefix }]
      : [...messages.slice(0, -1), { ...last, content: begun + prefix }];
  const rest = {
    ...body,
    messages: prefixed,
    max_tokens: left,
    ...(body.min_tokens === undefined ? {} : { min_tokens: Math.min(left, Math.max(0, body.min_tokens - tokens)) }),
    // The same seed would draw the answer's first numbers again, and with them its beginning.
    ...(body.seed === undefined ? {} : { seed: body.seed + tokens }),
    ...PREFIXED,
  };
  return { kind: 'continue', body: request.write(rest), tokens };
}

/** The last message is the answer's beginning. */
const PREFIXED = { add_generation_prompt: false, continue_final_message: true };

/**
 * By how much the text lengthens a prompt. The caller's messages and pictures stay out of it: a role's token stands
 * before the answer, so that what came earlier does not change how it is read (measured on vLLM, pictures included).
 */
async function countDelivered(
  model: string,
  begun: string | undefined,
  text: string,
  countTokens: CountTokens,
): Promise<number | undefined> {
  const asked = { role: 'user', content: '.' };
  const upTo = (answer: string | undefined): Buffer =>
    Buffer.from(
      JSON.stringify(
        answer === undefined
          ? { model, messages: [asked] }
          : { model, messages: [asked, { role: 'assistant', content: answer }], ...PREFIXED },
      ),
    );
  const [before, after] = await Promise.all([countTokens(upTo(begun)), countTokens(upTo((begun ?? '') + text))]);
  return before === undefined || after === undefined ? undefined : after - before;
}

/** The event that closes an answer of which only the end is missing. */
export function closingEvent({ id, created }: Delivered, model: string): string {
  const choices = [{ index: 0, delta: {}, logprobs: null, finish_reason: 'length' }];
  return `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model, choices })}\n\n`;
}

const Rewritten = z.looseObject({
  choices: z.array(z.looseObject({ delta: z.looseObject({}).optional() })),
  usage: z.looseObject({ prompt_tokens: z.number(), total_tokens: z.number() }).nullish(),
});

/** What events of a further life take over from the first. */
export type FirstLife = Pick<Delivered, 'id' | 'created'> & {
  /** tokens delivered, which the further life's prompt holds */
  readonly tokens: number;
};

/**
 * Makes an event of the second life one of the first: same id and instant of creation, no second role event, usage of
 * the whole answer.
 * @returns undefined for the role event, which the client has already
 */
export function joinEvent(event: Members, first: FirstLife): Members | undefined {
  const parsed = Rewritten.safeParse(event);
  if (!parsed.success) return event;
  if (parsed.data.choices[0]?.delta?.['role'] !== undefined) return undefined;
  const { usage } = parsed.data;
  return {
    ...parsed.data,
    id: first.id,
    created: first.created,
    ...(usage === undefined || usage === null ? {} : { usage: joinUsage(usage, first.tokens) }),
  };
}

/** The second life's prompt holds the delivered tokens: they belong to the answer. */
function joinUsage(
  { prompt_tokens: prompt, total_tokens: total }: { prompt_tokens: number; total_tokens: number },
  k: number,
) {
  return { prompt_tokens: prompt - k, total_tokens: total, completion_tokens: total - prompt + k };
}
