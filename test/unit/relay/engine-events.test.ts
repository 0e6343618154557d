import { expect, test } from '@jest/globals';
import { EngineEvents, usageOfAnswer } from '../../../gateway/relay/engine-events.ts';

const token = (text: string): string =>
  `data: {"id":"c","choices":[{"index":0,"delta":{"content":${JSON.stringify(text)}}}]}\n\n`;
const USAGE = 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3}}\n\n';
const DONE = 'data: [DONE]\n\n';
const ERROR = 'data: {"error":{"message":"engine died","type":"InternalServerError","param":null,"code":500}}\n\n';

function run(passUsage: boolean, ...pieces: (string | Buffer)[]) {
  const events = new EngineEvents(passUsage);
  const passed = pieces.map((piece) => events.take(Buffer.from(piece)).toString()).join('');
  return { events, passed };
}

test('a plain event is passed as the very same bytes', () => {
  const chunk = Buffer.from(token('hi'));
  expect(new EngineEvents(false).take(chunk)).toBe(chunk);
});

test.each([
  ['whole', [token('a'), USAGE, DONE]],
  ['split inside "choices"', [token('a'), USAGE.slice(0, 20), USAGE.slice(20), DONE]],
  ['split inside a number', [token('a'), USAGE.slice(0, -12), USAGE.slice(-12), DONE]],
  ['split between the two line feeds', [token('a'), USAGE.slice(0, -1), USAGE.slice(-1), DONE]],
  ['glued to [DONE]', [token('a'), USAGE + DONE]],
  ['all in one piece', [token('a') + USAGE + DONE]],
])(
  'the closing usage event, %s: taken out when not asked for, passed once when asked, counted in both',
  (_how, pieces) => {
    const silent = run(false, ...pieces);
    expect(silent.passed).toBe(token('a') + DONE);
    const asked = run(true, ...pieces);
    expect(asked.passed).toBe(token('a') + USAGE + DONE);
    for (const { events } of [silent, asked]) {
      expect(events.usage).toEqual({ promptTokens: 7, completionTokens: 3 });
      expect(events.done).toBe(true);
    }
  },
);

test('text that looks like the closing event or like the end stays in the answer', () => {
  const tricky = token('"choices":[] data: [DONE]\n\ndata: {"error"');
  const { events, passed } = run(false, tricky, DONE);
  expect(passed).toBe(tricky + DONE);
  expect(events.usage).toBeUndefined();
  expect(events.error).toBeUndefined();
});

test('an error event followed by [DONE] is not a whole answer, and neither is passed', () => {
  const { events, passed } = run(false, token('a'), ERROR, DONE);
  expect(passed).toBe(token('a'));
  expect(events.done).toBe(false);
  expect(events.error).toBe('engine died');
});

test('a stream that just stops is not whole', () => {
  expect(run(false, token('a'), token('b').slice(0, 10)).events.done).toBe(false);
});

test('an event without an end does not fill the memory', () => {
  const events = new EngineEvents(false);
  const piece = Buffer.alloc(1024 * 1024, 'x');
  for (let i = 0; i < 5; i += 1) events.take(piece);
  expect(events.error).toContain('without an end');
});

test('usage of a whole answer', () => {
  expect(usageOfAnswer(Buffer.from('{"usage":{"prompt_tokens":7,"completion_tokens":3}}'))).toEqual({
    promptTokens: 7,
    completionTokens: 3,
  });
  expect(usageOfAnswer(Buffer.from('not json'))).toBeUndefined();
});

test('an error event that blames the request is kept as the refusal that it is', () => {
  const said = '{"error":{"message":"no such token","type":"BadRequestError","param":"logit_bias","code":400}}';
  const { events, passed } = run(false, `data: ${said}\n\n`, DONE);
  expect(passed).toBe('');
  expect(events.refusal?.status).toBe(400);
  expect(JSON.parse(String(events.refusal?.body))).toEqual(JSON.parse(said));
  expect(run(false, ERROR, DONE).events.refusal).toBeUndefined();
});
