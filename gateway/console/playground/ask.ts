import type { Gateway } from '../gateway.ts';
import { localRefusal } from '../refusal.ts';
import { eventsOf } from '../server-events.ts';
import { isOver, newsIn, SENT, withNews, type Answer } from './answer.ts';
import type { ChatBody } from './conversation.ts';

/** Characters that one event, and an entire answer, may have. */
const MOST_EVENT = 1_000_000;
const MOST_ANSWER = 4_000_000;
const BROKEN = 'The connection broke before the answer was complete.';
const TOO_LONG = 'The answer is too long for this page.';

/**
 * Asks for a streamed answer, and tells each change of it.
 * @param stop ends it: the connection closes, and the gateway cancels the request
 */
export async function ask(
  gateway: Gateway,
  body: ChatBody,
  stop: AbortSignal,
  tell: (answer: Answer) => void,
): Promise<void> {
  const sentAt = performance.now();
  let answer = SENT;
  const change = (next: Answer): void => {
    answer = next;
    tell(answer);
  };
  const fail = (message: string): void => change({ ...answer, state: 'failed', refusal: localRefusal(message) });
  const headers = { 'content-type': 'application/json', 'x-penstock-progress': '1' };
  const request = { method: 'POST', headers, body: JSON.stringify(body), signal: stop };
  const opened = await gateway.open('/v1/chat/completions', request);
  if (!opened.ok)
    return change(
      stop.aborted ? { ...answer, state: 'stopped' } : { ...answer, state: 'failed', refusal: opened.refusal },
    );
  const waited = Number(opened.value.headers.get('x-penstock-queue-wait-ms') ?? Number.NaN);
  if (Number.isFinite(waited)) change({ ...answer, queueMs: waited });
  try {
    for await (const event of eventsOf(opened.value, MOST_EVENT)) {
      for (const news of newsIn(event)) change(withNews(answer, news, sentAt, performance.now()));
      if (isOver(answer)) return;
      if (answer.text.length > MOST_ANSWER) return fail(TOO_LONG);
    }
    fail(BROKEN);
  } catch {
    if (stop.aborted) change({ ...answer, state: 'stopped' });
    else fail(BROKEN);
  }
}
