import { z } from 'zod';
import type { JsonValue } from '#contract/chat';

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
/** Texts that an engine reads as real control tokens. */
const CONTROL_TOKEN = /<\|[^|\s]*\|>|<\/?s>/;

const Body = z.looseObject({
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
  choices: z.array(z.looseObject({ index: z.number(), delta: Delta, finish_reason: z.string().nullish() })),
});

/** What a client has of a stream: the identity of its first event, the text, how many tokens. */
export interface Delivered {
  readonly id: string;
  readonly created: number;
  readonly text: string;
  /** choice events after the role event: one a token, but for those that a busy engine put into one event */
  readonly tokens: number;
  readonly finished: boolean;
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

/** Reads back what was sent: whole SSE events, end to end. @returns undefined when no event carries a choice yet */
export function readDelivered(sent: Buffer): Delivered | undefined {
  let first: z.infer<typeof Event> | undefined;
  let text = '';
  let tokens = 0;
  let finished = false;
  let other = false;
  for (const block of sent.toString('utf8').split('\n\n')) {
    const event = block.startsWith('data: {') ? Event.safeParse(JSON.parse(block.slice(6))) : undefined;
    const choice = event?.data?.choices[0];
    if (event?.data === undefined || choice === undefined) continue;
    first ??= event.data;
    const { role, content, tool_calls: calls, reasoning } = choice.delta;
    if (role === undefined) tokens += 1;
    text += content ?? '';
    other ||= (calls ?? []).length > 0 || (reasoning ?? '') !== '';
    finished ||= typeof choice.finish_reason === 'string';
  }
  return first === undefined ? undefined : { id: first.id, created: first.created, text, tokens, finished, other };
}

export type Continuation =
  /** the client has no text yet: the original request again */
  | { readonly kind: 'again' }
  | { readonly kind: 'continue'; readonly body: Buffer }
  /** every token that was asked for is there: only the end is missing */
  | { readonly kind: 'close' }
  | { readonly kind: 'refused'; readonly reason: string };

/** The engine's request for the rest. @param original the engine's request of the first life */
export function planContinuation(original: Buffer, delivered: Delivered): Continuation {
  if (delivered.other) return { kind: 'refused', reason: 'not_text' };
  if (delivered.finished) return { kind: 'close' };
  // The decoder of an engine that ends inside a character would answer with the prompt.
  const prefix = delivered.text.replace(/\uFFFD+$/, '');
  if (CONTROL_TOKEN.test(prefix)) return { kind: 'refused', reason: 'control_tokens' };
  if (prefix.trim() === '') return { kind: 'again' };
  const body = Body.parse(JSON.parse(original.toString('utf8')));
  const left = body.max_tokens - delivered.tokens;
  if (left <= 0) return { kind: 'close' };
  const { messages } = body;
  const last = messages.at(-1);
  const goesOn = body.continue_final_message === true && last?.role === 'assistant' && typeof last.content === 'string';
  const prefixed = goesOn
    ? [...messages.slice(0, -1), { ...last, content: String(last.content) + prefix }]
    : [...messages, { role: 'assistant', content: prefix }];
  const rest = {
    ...body,
    messages: prefixed,
    max_tokens: left,
    ...(body.min_tokens === undefined
      ? {}
      : { min_tokens: Math.min(left, Math.max(0, body.min_tokens - delivered.tokens)) }),
    // The same seed would draw the answer's first numbers again, and with them its beginning.
    ...(body.seed === undefined ? {} : { seed: body.seed + delivered.tokens }),
    add_generation_prompt: false,
    continue_final_message: true,
  };
  return { kind: 'continue', body: Buffer.from(JSON.stringify(rest)) };
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

/**
 * Makes an event of the second life one of the first: same id and instant of creation, no second role event, usage of
 * the whole answer.
 * @returns undefined for the role event, which the client has already
 */
export function joinEvent(event: Buffer, first: Delivered): Buffer | undefined {
  const parsed = Rewritten.safeParse(JSON.parse(event.toString('utf8', 6)));
  if (!parsed.success) return event;
  if (parsed.data.choices[0]?.delta?.['role'] !== undefined) return undefined;
  const { usage } = parsed.data;
  const whole = {
    ...parsed.data,
    id: first.id,
    created: first.created,
    ...(usage === undefined || usage === null ? {} : { usage: joinUsage(usage, first.tokens) }),
  };
  return Buffer.from(`data: ${JSON.stringify(whole)}\n\n`);
}

/** The second life's prompt holds the delivered tokens: they belong to the answer. */
function joinUsage(
  { prompt_tokens: prompt, total_tokens: total }: { prompt_tokens: number; total_tokens: number },
  k: number,
) {
  return { prompt_tokens: prompt - k, total_tokens: total, completion_tokens: total - prompt + k };
}
