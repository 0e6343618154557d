import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { ResponseEvents } from '../../../../gateway/answer/engine/response-events.ts';

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
    expect(events).toMatchObject({ done: true, failure: undefined, passed: EVENTS.length });
    expect(events.usage).toEqual({ promptTokens: 8, completionTokens: 2 });
  }
});

test('the opening events are withheld until an event shows that the engine works', () => {
  const { events, passed } = run(EVENTS[0] ?? '', EVENTS[1] ?? '');
  expect(passed).toBe('');
  expect(events.take(Buffer.from(EVENTS[2] ?? '')).toString()).toBe(EVENTS.slice(0, 3).join(''));
});

test('a stream without its closing event is incomplete', () => {
  expect(run(...EVENTS.slice(0, -1)).events.done).toBe(false);
});

test('a failed response, an error event and a malformed event are the engine’s fault, and not passed on', () => {
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
    expect(events.failure).toBeDefined();
  }
});

test.each<[how: string, change: (all: string) => string]>([
  ['CRLF', (all) => all.replaceAll('\n', '\r\n')],
  ['CR', (all) => all.replaceAll('\n', '\r')],
  ['a byte order mark', (all) => `\uFEFF${all}`],
  ['no spaces', (all) => all.replaceAll('event: ', 'event:').replaceAll('data: ', 'data:')],
  ['id and retry lines, comments', (all) => all.replaceAll('event: ', ': hi\nretry: 3\nid: 7\nevent: ')],
  ['no event lines', (all) => all.replaceAll(/event: .*\n/g, '')],
  ['event lines with another name', (all) => all.replaceAll(/event: .*\n/g, 'event: message\n')],
  ['data before its name', (all) => all.replaceAll(/(event: .*)\n(data: .*)\n/g, '$2\n$1\n')],
  ['[DONE] at the end', (all) => `${all}data: [DONE]\n\n`],
  ['an error at the end', (all) => `${all}event: error\ndata: {}\n\n`],
])('A3: other spellings reach the client in vLLM’s form: %s', (_how, change) => {
  const all = EVENTS.join('');
  const changed = change(all);
  for (const size of [1, 100, changed.length]) {
    const count = Math.ceil(changed.length / size);
    const pieces = Array.from({ length: count }, (_, n) => changed.slice(n * size, (n + 1) * size));
    const { events, passed } = run(...pieces);
    expect(events).toMatchObject({ done: true, failure: undefined, passed: EVENTS.length });
    expect(passed).toBe(all);
  }
});

const CLOSING = EVENTS.at(-1) ?? '';
const STATUS = '"status":"completed","text"';
const closingAs = (status: string): string => CLOSING.replace(STATUS, `"status":"${status}","text"`);
test.each<[how: string, closing: string]>([
  ['none', ''],
  ['[DONE] instead', 'data: [DONE]\n\n'],
  ['cut off', CLOSING.slice(0, -1)],
  ['half of it', `${CLOSING.slice(0, 300)}\n\n`],
  ['no output', CLOSING.replace('"output":', '"out":')],
  ['no status', CLOSING.replace(STATUS, '"text"')],
  ['failed', closingAs('failed')],
  ['in progress', closingAs('in_progress')],
  ['incomplete without a reason', closingAs('incomplete')],
])('A1: a response without a complete closing event is incomplete: %s', (_how, closing) => {
  const { events, passed } = run(...EVENTS.slice(0, -1), closing);
  expect(passed).toBe(EVENTS.slice(0, -1).join(''));
  expect(events.done).toBe(false);
});

test('A1: a response of the maximum length is complete', () => {
  const reason = '"incomplete_details":{"reason":"max_output_tokens"}';
  const shortened = closingAs('incomplete').replace('"incomplete_details":null', reason);
  expect(run(...EVENTS.slice(0, -1), shortened).events).toMatchObject({ done: true, failure: undefined });
});

const PIECE = EVENTS.find((one) => one.startsWith('event: response.output_text.delta')) ?? '';
test.each<[how: string, change: (piece: string) => string]>([
  ['a text without its end', (piece) => piece.replace('","', ',"')],
  ['a tab in a text', (piece) => piece.replace('"delta":"', '"delta":"\t')],
  ['an error beside the text', (piece) => piece.replace('data: {', 'data: {"error":{"message":"broke"},')],
  ['a comma too many', (piece) => piece.replace('}\n\n', ',}\n\n')],
])('A1: a piece that no client can read is not passed on: %s', (_how, change) => {
  for (const bad of [change(PIECE), change(EVENTS.at(-2) ?? '')]) {
    if (bad === EVENTS.at(-2)) continue;
    const { events, passed } = run(...EVENTS.slice(0, 4), bad, ...EVENTS.slice(5));
    expect(passed).toBe(EVENTS.slice(0, 4).join(''));
    expect(events).toMatchObject({ done: false, failure: {} });
  }
});

test('A3: events with other names are ignored', () => {
  const pings = ['event: ping\ndata: {}\n\n', 'event: ping\ndata: now\n\n', 'data: {"type":"ping"}\n\n'];
  const { events, passed } = run(...EVENTS.flatMap((one) => [...pings, one]));
  expect(events).toMatchObject({ done: true, failure: undefined, passed: EVENTS.length });
  expect(passed).toBe(EVENTS.join(''));
});

test('A1: the last event of the longest answers passes, with its log probabilities; a broken one does not', () => {
  const list = JSON.stringify(Array(100_000).fill({ token: 'word', logprob: -1.25, bytes: [119], top_logprobs: [] }));
  const long = CLOSING.replace('"logprobs":null', `"logprobs":${list}`);
  expect(long.length).toBeGreaterThan(4 * 1024 * 1024);
  const cut = (text: string) => [text.slice(0, 1_000_000), text.slice(1_000_000, 3_000_000), text.slice(3_000_000)];
  const { events, passed } = run(...EVENTS.slice(0, -1), ...cut(long));
  expect(events).toMatchObject({ done: true, usage: { promptTokens: 8, completionTokens: 2 } });
  expect(passed.endsWith(long)).toBe(true);
  const broken = long.replace('-1.25', 'NaN');
  expect(run(...EVENTS.slice(0, -1), ...cut(broken)).events).toMatchObject({ done: false, failure: {} });
});

test('A1: a response with an error or an incomplete item is incomplete', () => {
  for (const closing of [
    CLOSING.replace('"output":', '"error":{"message":"broke"},"output":'),
    CLOSING.replace('"status":"completed","type":"message"', '"status":"in_progress","type":"message"'),
    CLOSING.replace('"status":"completed","type":"message"', '"status":"incomplete","type":"message"'),
  ]) {
    expect(closing).not.toBe(CLOSING);
    expect(run(...EVENTS.slice(0, -1), closing).events).toMatchObject({ done: false, failure: {} });
  }
});
