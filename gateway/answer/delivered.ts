import { z } from 'zod';
import { eventBytes, EventReader, parseJson } from './engine/sse.ts';
import type { Join, Members } from './engine/event-watch.ts';

/** What a client has of a stream: the identity of its first event, the text, the number of tokens. */
export interface Delivered {
  readonly id: string;
  readonly created: number;
  readonly text: string;
  /** choice events except a role-only one: one per token, unless a busy engine put several tokens into one event */
  readonly events: number;
  /** the stream held something other than text, such as tool calls, reasoning or a refusal */
  readonly other: boolean;
}

const Delta = z.looseObject({ role: z.string().nullish(), content: z.string().nullish() });
const Event = z.looseObject({
  id: z.string(),
  created: z.number(),
  model: z.string(),
  choices: z.array(z.looseObject({ delta: Delta })),
});

/**
 * Reads back the sent bytes: complete SSE events, end to end.
 * @returns undefined if one of them cannot be read, or none has a choice yet
 */
export function readDelivered(sent: Buffer): Delivered | undefined {
  let first: z.infer<typeof Event> | undefined;
  let text = '';
  let events = 0;
  let other = false;
  for (const { data } of new EventReader().read(sent)) {
    const event = Event.safeParse(parseJson(data)).data;
    // Its content would be missing from the prefix.
    if (event === undefined) return undefined;
    const choice = event.choices[0];
    if (choice === undefined) continue;
    first ??= event;
    const { role, content, ...others } = choice.delta;
    if (!isSaid(role) || isSaid(content)) events += 1;
    text += content ?? '';
    other ||= Object.values(others).some(isSaid);
  }
  return first === undefined ? undefined : { id: first.id, created: first.created, text, events, other };
}

/** Whether a member of a delta has content: engines send some empty ones with each event. */
function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

/** The closing event of an answer that lacks only its end. */
export function closingEvent({ id, created }: Delivered, model: string): Buffer {
  const choices = [{ index: 0, delta: {}, logprobs: null, finish_reason: 'length' }];
  return eventBytes(Buffer.from(JSON.stringify({ id, object: 'chat.completion.chunk', created, model, choices })));
}

const Rewritten = z.looseObject({
  choices: z.array(z.looseObject({ delta: z.looseObject({}).optional() })),
  usage: z.looseObject({ prompt_tokens: z.number(), total_tokens: z.number() }).nullish(),
});

/**
 * Makes the events of a further epoch follow those of the first: same id and creation time, no second role, usage of
 * the complete answer. A role-only event is dropped.
 * @param tokens the delivered tokens, which the further epoch's prompt holds
 */
export function followOn({ id, created }: Pick<Delivered, 'id' | 'created'>, tokens: number): Join {
  return (event) => {
    const parsed = Rewritten.safeParse(event);
    if (!parsed.success) return event;
    const { choices, usage } = parsed.data;
    if (choices.length > 0 && choices.every(isRoleAlone)) return undefined;
    const joined: Members = { ...parsed.data, choices: choices.map(withoutRole), id, created };
    return usage === undefined || usage === null ? joined : { ...joined, usage: joinUsage(usage, tokens) };
  };
}

type Choice = z.infer<typeof Rewritten>['choices'][number];

function isRoleAlone({ delta: { role, ...others } = {}, finish_reason: reason, logprobs }: Choice): boolean {
  return isSaid(role) && ![...Object.values(others), reason, logprobs].some(isSaid);
}

function withoutRole({ delta, ...choice }: Choice): Members {
  if (delta === undefined) return choice;
  const { role: _, ...others } = delta;
  return { ...choice, delta: others };
}

/** The further epoch's prompt holds the delivered tokens: they belong to the answer. */
function joinUsage(
  { prompt_tokens: prompt, total_tokens: total }: { prompt_tokens: number; total_tokens: number },
  k: number,
) {
  return { prompt_tokens: prompt - k, total_tokens: total, completion_tokens: total - prompt + k };
}
