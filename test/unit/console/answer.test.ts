import { expect, test } from '@jest/globals';
import { isOver, newsIn, SENT, spoken, tokensPerSecond, withNews } from '../../../gateway/console/playground/answer.ts';
import { EventReader } from '../../../gateway/console/server-events.ts';

const chunk = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const text = (content: string): string => chunk({ choices: [{ delta: { content }, finish_reason: null }] });
const STREAM = [
  ': waiting position=3 eta_ms=3400\n\n',
  ': waiting position=1\n\n',
  ': waited queue_ms=2100\n\n',
  chunk({ choices: [{ delta: { role: 'assistant' }, finish_reason: null }] }),
  text('Grüße'),
  text(' <b>you</b>'),
  chunk({ choices: [{ delta: {}, finish_reason: 'stop' }] }),
  chunk({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 3 } }),
  'data: [DONE]\n\n',
].join('');

/** One moment later for each part of the stream. */
function read(stream: string, size: number): { answer: typeof SENT; states: string[] } {
  const [events, states] = [new EventReader(), new Set<string>()];
  let [answer, at] = [SENT, 1_000];
  for (let from = 0; from < stream.length; from += size)
    for (const event of events.push(stream.slice(from, from + size)))
      for (const news of newsIn(event)) {
        answer = withNews(answer, news, 1_000, (at += 100));
        states.add(answer.state);
      }
  return { answer, states: [...states] };
}

test.each([1, 7, 100_000])('a stream that arrives in pieces of %d characters is read whole', (size) => {
  const { answer, states } = read(STREAM, size);
  expect(states).toEqual(['waiting', 'sent', 'streaming', 'complete'].filter((one) => states.includes(one)));
  expect(answer).toMatchObject({
    state: 'complete',
    text: 'Grüße <b>you</b>',
    position: 1,
    etaMs: undefined,
    queueMs: 2_100,
    ttftMs: 400,
    finish: 'stop',
    usage: { prompt: 12, answer: 3 },
  });
  // two tokens after the first one, in 100 ms
  expect(tokensPerSecond(answer)).toBe(20);
  expect(spoken(answer)).toMatch(/complete, 3 tokens/);
});

test('a place in the queue and the rest of the wait are told while it waits', () => {
  const { answer } = read(STREAM.split('\n\n')[0] + '\n\n', 100);
  expect(answer).toMatchObject({ state: 'waiting', position: 3, etaMs: 3_400 });
  expect(isOver(answer)).toBe(false);
  expect(spoken(answer)).toContain('place 3');
});

test('an error event after the first words keeps the words, and ends the answer with code and numbers', () => {
  const error = { message: 'the worker was lost', code: 'worker_lost', param: null, asked: 2, allowed: 1 };
  const { answer } = read(text('half') + chunk({ error }), 50);
  expect(answer).toMatchObject({
    state: 'failed',
    text: 'half',
    refusal: { message: 'the worker was lost', code: 'worker_lost', param: undefined, asked: 2, allowed: 1 },
  });
});

test('what is no event of a chat completion changes nothing', () => {
  const odd = ['data: {', 'data: 7', 'event: ping\ndata: {"choices":[null]}', ': keep-alive', 'id: 4'].join('\n\n');
  expect(read(`${odd}\n\n`, 9).answer).toEqual(SENT);
});

test('an event that is not complete is held, and its size is known', () => {
  const events = new EventReader();
  expect(events.push('data: 12345')).toEqual([]);
  expect(events.held).toBe(11);
  expect(events.push('\ndata: 6\n\n')).toEqual([{ data: '12345\n6' }]);
});
