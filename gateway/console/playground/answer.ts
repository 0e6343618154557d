import { isRecord, numberIn, parseJson, textIn } from '../read-json.ts';
import { refusalOf, type Refusal } from '../refusal.ts';
import type { ServerEvent } from '../server-events.ts';

interface Usage {
  readonly prompt: number;
  readonly answer: number;
}
type AnswerState = 'sent' | 'waiting' | 'streaming' | 'complete' | 'stopped' | 'failed';

/** An answer as it comes. Times are in milliseconds. */
export interface Answer {
  readonly state: AnswerState;
  readonly text: string;
  /** place in the queue, from 1, and the rest of the wait; while it waits, and as far as the gateway knows */
  readonly position?: number | undefined;
  readonly etaMs?: number | undefined;
  /** how long it waited in the queue */
  readonly queueMs?: number | undefined;
  /** from the request to the first text */
  readonly ttftMs?: number | undefined;
  readonly events: number;
  readonly firstTextAt?: number | undefined;
  readonly lastTextAt?: number | undefined;
  readonly usage?: Usage | undefined;
  /** the engine's reason to end, such as `stop` or `length` */
  readonly finish?: string | undefined;
  readonly refusal?: Refusal | undefined;
}
export const SENT: Answer = { state: 'sent', text: '', events: 0 };

/** What a part of the stream says. */
export type News =
  | { readonly kind: 'waiting'; readonly position: number; readonly etaMs: number | undefined }
  | { readonly kind: 'waited'; readonly queueMs: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'finish'; readonly reason: string }
  | { readonly kind: 'usage'; readonly usage: Usage }
  | { readonly kind: 'refusal'; readonly refusal: Refusal }
  | { readonly kind: 'end' };

/** Reads a part of a chat completion's stream. The comments are Penstock's: gateway/README.md, "Waiting". */
export function newsIn(event: ServerEvent): News[] {
  if ('comment' in event) return newsInComment(event.comment);
  if (event.data === '[DONE]') return [{ kind: 'end' }];
  const chunk = parseJson(event.data);
  if (!isRecord(chunk)) return [];
  if (isRecord(chunk['error'])) return [{ kind: 'refusal', refusal: refusalOf(chunk['error'], 200) }];
  return [...newsInChoice(chunk['choices']), ...newsInUsage(chunk['usage'])];
}

function newsInComment(comment: string): News[] {
  const [, position, eta] = /^waiting position=(\d+)(?: eta_ms=(\d+))?$/.exec(comment) ?? [];
  if (position !== undefined)
    return [{ kind: 'waiting', position: Number(position), etaMs: eta === undefined ? undefined : Number(eta) }];
  const [, queueMs] = /^waited queue_ms=(\d+)$/.exec(comment) ?? [];
  return queueMs === undefined ? [] : [{ kind: 'waited', queueMs: Number(queueMs) }];
}

function newsInChoice(choices: unknown): News[] {
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  if (!isRecord(choice)) return [];
  const { delta } = choice;
  const [text, reason] = [isRecord(delta) ? textIn(delta, 'content') : undefined, textIn(choice, 'finish_reason')];
  return [
    ...(text === undefined || text === '' ? [] : [{ kind: 'text' as const, text }]),
    ...(reason === undefined ? [] : [{ kind: 'finish' as const, reason }]),
  ];
}

function newsInUsage(usage: unknown): News[] {
  if (!isRecord(usage)) return [];
  const [prompt, answer] = [numberIn(usage, 'prompt_tokens'), numberIn(usage, 'completion_tokens')];
  return prompt === undefined || answer === undefined ? [] : [{ kind: 'usage', usage: { prompt, answer } }];
}

/**
 * The answer with one more piece of news.
 * @param sentAt, @param at moments of one clock, in milliseconds
 */
export function withNews(answer: Answer, news: News, sentAt: number, at: number): Answer {
  switch (news.kind) {
    case 'waiting':
      return { ...answer, state: 'waiting', position: news.position, etaMs: news.etaMs };
    case 'waited':
      return { ...answer, queueMs: news.queueMs };
    case 'text':
      return {
        ...answer,
        state: 'streaming',
        text: answer.text + news.text,
        events: answer.events + 1,
        ttftMs: answer.ttftMs ?? at - sentAt,
        firstTextAt: answer.firstTextAt ?? at,
        lastTextAt: at,
      };
    case 'finish':
      return { ...answer, finish: news.reason };
    case 'usage':
      return { ...answer, usage: news.usage };
    case 'refusal':
      return { ...answer, state: 'failed', refusal: news.refusal };
    case 'end':
      return { ...answer, state: 'complete' };
  }
}

/** Tokens of the answer, for each second after the first one; undefined if there is only one. */
export function tokensPerSecond({ usage, events, firstTextAt, lastTextAt }: Answer): number | undefined {
  if (firstTextAt === undefined || lastTextAt === undefined || lastTextAt <= firstTextAt) return undefined;
  // Until the engine has counted, an event counts as a token.
  const tokens = (usage?.answer ?? events) - 1;
  return tokens < 1 ? undefined : (tokens * 1_000) / (lastTextAt - firstTextAt);
}

/** It can change no more. */
export function isOver({ state }: Answer): boolean {
  return state === 'complete' || state === 'stopped' || state === 'failed';
}

/** What a screen reader says: the stages, and not each word. */
export function spoken({ state, text, position, usage }: Answer): string {
  switch (state) {
    case 'sent':
      return 'The question was sent.';
    case 'waiting':
      return `The question waits, at place ${position ?? 'unknown'} of the queue.`;
    case 'streaming':
      return 'The answer is coming.';
    case 'complete':
      return `The answer is complete${usage === undefined ? '' : `, ${usage.answer} tokens`}. ${text.slice(0, 2_000)}`;
    case 'stopped':
      return 'The answer was stopped.';
    case 'failed':
      return 'There is no complete answer.';
  }
}
