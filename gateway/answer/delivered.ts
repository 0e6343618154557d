import { z } from 'zod';
import { eventBytes, EventReader, parseJson } from './engine/sse.ts';
import type { Join, Members } from './engine/event-watch.ts';

/** What a client has of a stream: the identity of its first event, the text, how many tokens. */
export interface Delivered {
  readonly id: string;
  readonly created: number;
  readonly text: string;
  /** choice events but one that tells the role alone: one a token, but for those that a busy engine put into one event */
  readonly events: number;
  /** something other than text came, such as tool calls, reasoning or a refusal */
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
 * Reads back what was sent: whole SSE events, end to end.
 * @returns undefined when one of them cannot be read, or none carries a choice yet
 */
export function readDelivered(sent: Buffer): Delivered | undefined {
  let first: z.infer<typeof Event> | undefined;
  let text = '';
  let events = 0;
  let other = false;
  for (const { data } of new EventReader().read(sent)) {
    const event = Event.safeParse(parseJson(data)).data;
    // What it holds would be missing from the beginning that the rest is asked for.
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

/** Whether a member of a delta tells something: engines send some that are empty with each event. */
function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

/** The event that closes an answer of which only the end is missing. */
export function closingEvent({ id, created }: Delivered, model: string): Buffer {
  const choices = [{ index: 0, delta: {}, logprobs: null, finish_reason: 'length' }];
  return eventBytes(Buffer.from(JSON.stringify({ id, object: 'chat.completion.chunk', created, model, choices })));
}

const Rewritten = z.looseObject({
  choices: z.array(z.looseObject({ delta: z.looseObject({}).optional() })),
  usage: z.looseObject({ prompt_tokens: z.number(), total_tokens: z.number() }).nullish(),
});

/**
 * Makes the events of a further epoch those of the first: same id and instant of creation, no second role, usage of the
 * whole answer. An event that told the role alone is dropped.
 * @param tokens that were delivered, which the further epoch's prompt holds
 */
export function followOn({ id, created }: Delivered, tokens: number): Join {
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
