import { z } from 'zod';
import { ANSWER_STATES, type AnswerState } from '#contract/answer-log';

/** The end of an answer whose key had a webhook when it began. */
interface End {
  /** id of the answer */
  readonly answer: string;
  readonly state: AnswerState;
  readonly keyId: string;
}

/** A webhook event, without its id, which `eventId` makes. */
export const WebhookEvent = z.object({
  /** id of the answer */
  answer: z.string(),
  key: z.string(),
  type: z.templateLiteral(['response.', z.enum(ANSWER_STATES)]),
  /** seconds since 1970, in the time of Redis */
  created: z.int(),
  /** seconds since 1970: its day of tries begins then, because an operator delivered it again */
  again: z.int().exactOptional(),
});
export type WebhookEvent = Readonly<z.infer<typeof WebhookEvent>>;

/** An event as it is due: the member of a sorted set that the end of its answer adds. */
export function dueEvent({ answer, state, keyId }: End): string {
  return `${answer} ${state} ${keyId}`;
}

/** @param endedAt score of the member, in ms @returns undefined: it is no due event */
export function readDueEvent(member: string, endedAt: number): WebhookEvent | undefined {
  const [answer, state, key] = member.split(' ');
  const created = Math.floor(endedAt / 1_000);
  return WebhookEvent.safeParse({ answer, key, type: `response.${state}`, created }).data;
}

/** The end of an answer is one event, however often and by whichever gateway it is reported. */
export function eventId(answer: string): string {
  return `evt_${answer.slice(answer.indexOf('_') + 1)}`;
}

/** The event as OpenAI writes it: ids only. */
export function renderEvent({ answer, type, created }: WebhookEvent): string {
  return JSON.stringify({ object: 'event', id: eventId(answer), type, created_at: created, data: { id: answer } });
}
