import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { ResponseEvents } from '../../../gateway/relay/response-events.ts';

/** as vLLM 0.32 sent it */
const STREAM = readFileSync('test/fixtures/vllm/responses-stream.http', 'utf8')
  .replace(/\r\n/g, '\n')
  .split('\n\n')
  .slice(1);
const EVENTS = STREAM.filter((event) => event.startsWith('event: ')).map((event) => `${event}\n\n`);

function run(...pieces: string[]) {
  const events = new ResponseEvents();
  return { events, passed: pieces.map((piece) => events.take(Buffer.from(piece)).toString()).join('') };
}

test('a recorded stream passes byte for byte, however it is cut, with its usage', () => {
  const all = EVENTS.join('');
  for (const size of [1, 7, 100, 1_000, all.length]) {
    const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.slice(n * size, (n + 1) * size));
    const { events, passed } = run(...pieces);
    expect(passed).toBe(all);
    expect(events).toMatchObject({ done: true, error: undefined, passed: EVENTS.length });
    expect(events.usage).toEqual({ promptTokens: 8, completionTokens: 2 });
  }
});

test('the opening events wait for the first that shows an engine at work', () => {
  const { events, passed } = run(EVENTS[0] ?? '', EVENTS[1] ?? '');
  expect(passed).toBe('');
  expect(events.take(Buffer.from(EVENTS[2] ?? '')).toString()).toBe(EVENTS.slice(0, 3).join(''));
});

test('without its closing event a stream is not whole', () => {
  expect(run(...EVENTS.slice(0, -1)).events.done).toBe(false);
});

test('a response that failed, an error event and a malformed one are the engine’s fault, and not passed', () => {
  const failed = 'event: response.failed\ndata: {"type":"response.failed"}\n\n';
  const cancelled = (EVENTS.at(-1) ?? '').replace('"status":"completed","text"', '"status":"cancelled","text"');
  for (const bad of [
    failed,
    'event: error\ndata: {"a":1}\n\n',
    'data: {"error":{}}\n\n',
    'event: x\ndata: {"a\n\n',
    cancelled,
  ]) {
    const { events, passed } = run(...EVENTS.slice(0, 4), bad);
    expect(passed).toBe(EVENTS.slice(0, 4).join(''));
    expect(events.done).toBe(false);
    expect(events.error).toBeDefined();
  }
});
