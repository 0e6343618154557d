import { expect, test } from '@jest/globals';
import { EngineEvents, usageOfAnswer } from '../../../../gateway/answer/engine/events.ts';

const event = (text: string, reason: string | null, index = 0): string =>
  `data: {"id":"c","choices":[{"index":${index},"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":${JSON.stringify(reason)}}]}\n\n`;
const token = (text: string, index?: number): string => event(text, null, index);
const last = (text: string, index?: number): string => event(text, 'stop', index);
const USAGE = 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3}}\n\n';
const DONE = 'data: [DONE]\n\n';
const ERROR = 'data: {"error":{"message":"engine died","type":"InternalServerError","param":null,"code":500}}\n\n';
const LOST = { done: false, failure: { code: 'worker_lost' } };

type Pieces = readonly (string | Buffer)[];
function run(passUsage: boolean, ...pieces: Pieces) {
  return runFor(1, passUsage, ...pieces);
}
function runFor(choices: number, passUsage: boolean, ...pieces: Pieces) {
  const events = new EngineEvents({ passUsage, choices });
  const passed = pieces.map((piece) => events.take(Buffer.from(piece)).toString()).join('');
  return { events, passed };
}
function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
}

test('a plain event is passed on with the same bytes', () => {
  const chunk = Buffer.from(token('hi'));
  expect(new EngineEvents({ passUsage: false, choices: 1 }).take(chunk)).toBe(chunk);
  const two = Buffer.from(token('hi') + token('ho'));
  expect(new EngineEvents({ passUsage: false, choices: 1 }).take(two)).toBe(two);
});

test.each([
  ['whole', [last('a'), USAGE, DONE]],
  ['split inside "choices"', [last('a'), USAGE.slice(0, 20), USAGE.slice(20), DONE]],
  ['split inside a number', [last('a'), USAGE.slice(0, -12), USAGE.slice(-12), DONE]],
  ['split between the two line feeds', [last('a'), USAGE.slice(0, -1), USAGE.slice(-1), DONE]],
  ['glued to [DONE]', [last('a'), USAGE + DONE]],
  ['all in one piece', [last('a') + USAGE + DONE]],
])(
  'the closing usage event, %s: removed if not requested, passed once if requested, counted in both cases',
  (_how, pieces) => {
    const silent = run(false, ...pieces);
    expect(silent.passed).toBe(last('a') + DONE);
    const asked = run(true, ...pieces);
    expect(asked.passed).toBe(last('a') + USAGE + DONE);
    for (const { events } of [silent, asked]) {
      expect(events.usage).toEqual({ promptTokens: 7, completionTokens: 3 });
      expect(events.done).toBe(true);
    }
  },
);

test('text that looks like the closing event or like the end stays in the answer', () => {
  const text =
    '"choices":[] data: [DONE]\n\ndata: {"error" "finish_reason":"abort" "finish_reason":null NaN finish_reason';
  const tricky = token(text) + last(text);
  const { events, passed } = run(false, tricky, DONE);
  expect(passed).toBe(tricky + DONE);
  expect(events).toMatchObject({ usage: undefined, failure: undefined, done: true });
});

test('an error event followed by [DONE] is an incomplete answer, and neither is passed on', () => {
  const { events, passed } = run(false, token('a'), ERROR, DONE);
  expect(passed).toBe(token('a'));
  expect(events).toMatchObject({
    done: false,
    failure: { code: 'engine_failed', cause: expect.stringContaining('11 characters') },
  });
});

test('a stream that just stops is incomplete', () => {
  expect(run(false, token('a'), token('b').slice(0, 10)).events.done).toBe(false);
});

test('an endless event does not fill the memory', () => {
  const events = new EngineEvents({ passUsage: false, choices: 1 });
  const piece = Buffer.alloc(1024 * 1024, 'x');
  for (let i = 0; i < 65; i += 1) events.take(piece);
  expect(events.failure).toMatchObject({ code: 'engine_failed', cause: 'an event without an end' });
});

test('usage of a complete answer', () => {
  expect(usageOfAnswer(Buffer.from('{"usage":{"prompt_tokens":7,"completion_tokens":3}}'))).toEqual({
    promptTokens: 7,
    completionTokens: 3,
  });
  expect(usageOfAnswer(Buffer.from('not json'))).toBeUndefined();
});

test('an error event that blames the request is kept as a refusal', () => {
  const said = '{"error":{"message":"no such token","type":"BadRequestError","param":"logit_bias","code":400}}';
  const { events, passed } = run(false, `data: ${said}\n\n`, DONE);
  expect(passed).toBe('');
  expect(events.refusal?.status).toBe(400);
  expect(JSON.parse(String(events.refusal?.body))).toEqual(JSON.parse(said));
  expect(run(false, ERROR, DONE).events.refusal).toBeUndefined();
});

const ROLE = 'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n';
test.each<[how: string, choices: number, pieces: string[], passed: string]>([
  ['no finish_reason', 1, [token('a')], token('a')],
  ['nothing at all', 1, [], ''],
  ['the role alone', 1, [ROLE], ROLE],
  ['one of two choices', 2, [token('a'), token('b', 1), last('c')], token('a') + token('b', 1) + last('c')],
  ['the second of two choices never began', 2, [last('a')], last('a')],
  ['one choice twice', 2, [last('a'), last('b')], last('a') + last('b')],
  ['abort', 1, [token('a'), event('b', 'abort')], token('a')],
  ['error', 1, [token('a'), event('b', 'error')], token('a')],
  ['an unknown reason', 1, [token('a'), event('b', 'gave_up')], token('a')],
  ['an empty reason', 1, [token('a'), event('b', '')], token('a')],
  ['a reason that is not a string', 1, [token('a'), token('b').replace('null}', '7}')], token('a')],
  ['usage instead of an end', 1, [token('a'), USAGE], token('a')],
])('A1: [DONE] is withheld: %s', (_how, choices, pieces, passed) => {
  const whole = pieces.join('') + DONE;
  for (const all of [[...pieces, DONE], [whole], cut(Buffer.from(whole), 1)]) {
    const seen = runFor(choices, false, ...all);
    expect(seen.events).toMatchObject(LOST);
    expect(seen.events.isFinished).toBe(false);
    expect(seen.passed).toBe(passed);
  }
});

test.each(['stop', 'length', 'tool_calls', 'function_call', 'content_filter', 'repetition'])(
  'A1: %s is an end',
  (reason) => {
    expect(run(false, token('a'), event('', reason), DONE)).toMatchObject({
      events: { done: true, failure: undefined },
      passed: token('a') + event('', reason) + DONE,
    });
  },
);

test('A1: a finished stream without [DONE] is incomplete, but nothing else is missing', () => {
  expect(run(false, token('a'), last('b')).events).toMatchObject({ done: false, isFinished: true, failure: undefined });
});

test('A1: an engine may omit finish_reason while a choice continues', () => {
  const shorter = token('a').replace(',"finish_reason":null', '');
  expect(run(false, shorter, last('b'), DONE)).toMatchObject({
    events: { done: true },
    passed: shorter + last('b') + DONE,
  });
});

test('A1: two choices, finished in any order and in one event', () => {
  const both =
    'data: {"id":"c","choices":[{"index":1,"finish_reason":"stop"},{"index":0,"finish_reason":"length"}]}\n\n';
  for (const ends of [[last('a', 1), last('b')], [both]])
    expect(runFor(2, false, token('a'), ...ends, DONE)).toMatchObject({
      events: { done: true },
      passed: [token('a'), ...ends, DONE].join(''),
    });
  expect(runFor(2, false, both.replace('"length"', 'null'), DONE).events).toMatchObject(LOST);
  const plainFirst = both.replace('"index":1,"finish_reason":"stop"', '"index":1,"finish_reason":null');
  expect(runFor(2, false, plainFirst, last('a', 1), DONE).events).toMatchObject({ done: true });
});

test('A1: everything after the end of a complete answer is dropped', () => {
  for (const more of [DONE, ERROR, token('b'), 'data: {"\n\n', 'x'])
    for (const pieces of [[last('a'), DONE, more], [last('a') + DONE + more]])
      expect(run(false, ...pieces)).toMatchObject({
        events: { done: true, failure: undefined },
        passed: last('a') + DONE,
      });
});

const NO_UTF8 = Buffer.concat([
  Buffer.from(token('a')).subarray(0, 50),
  Buffer.from([0xc3, 0x28]),
  Buffer.from(token('a')).subarray(50),
]);
test.each<[how: string, bad: string | Buffer]>([
  ['invalid JSON', 'data: {"id":"c","choices":[{"index":0\n\n'],
  ['a list', 'data: []\n\n'],
  ['a text', 'data: hello\n\n'],
  ['NaN', token('a').replace('"logprobs":null', '"logprobs":NaN')],
  ['Infinity', token('a').replace('"logprobs":null', '"logprobs":-Infinity')],
  ['no UTF-8', NO_UTF8],
  ['a choice without an index', token('a').replace('"index":0,', '')],
  ['a text without its end', token('a').replace('"a"', '"a')],
  ['a text without its end, in the last of two events', token('a') + token('b').replace('"b"', '"b')],
  ['a tab in a text', token('a').replace('"a"', '"a\tb"')],
  ['a control character in a text', token('a').replace('"a"', '"a\u0001b"')],
  ['an unknown escape', token('a').replace('"a"', String.raw`"a\x"`)],
  ['a comma too many', token('a').replace('null}', 'null,}')],
  ['a line feed inside a text', token('a').replace('"a"', '"a\ndata: b"')],
])('an event that no client can read is not passed on, and the attempt is lost: %s', (_how, bad) => {
  for (const pieces of [
    [token('a'), bad, last('b'), DONE],
    cut(Buffer.concat([Buffer.from(token('a')), Buffer.from(bad)]), 7),
  ]) {
    const { events, passed } = run(false, ...pieces);
    expect(events).toMatchObject(LOST);
    // Of a chunk with a broken event, the events before it are passed on.
    expect([token('a'), token('a') + token('a')]).toContain(passed);
  }
});

test.each<[how: string, code: unknown]>([
  ['a fraction', 400.5],
  ['too small', 99],
  ['too large', 600],
  ['a text', '400'],
])('F6: an error event whose code is not a status blames the engine: %s', (_how, code) => {
  const { events } = run(false, `data: ${JSON.stringify({ error: { message: 'x', code } })}\n\n`);
  expect(events).toMatchObject({ refusal: undefined, failure: { code: 'engine_failed' } });
});

test('A3: events with other names are ignored, whatever they contain', () => {
  for (const ping of [
    'event: ping\ndata: {}\n\n',
    "event: ping\ndata: 12:30 o'clock\n\n",
    'event: ping\ndata: [1]\n\n',
  ])
    expect(run(false, ping, token('a'), ping, last('b'), ping, DONE)).toMatchObject({
      events: { done: true, failure: undefined },
      passed: token('a') + last('b') + DONE,
    });
  expect(run(false, token('a'), 'event: message\ndata: sorry\n\n').events).toMatchObject(LOST);
});

test.each<[how: string, error: string]>([
  ['vLLM’s own', 'data: {"error":{"message":"broke","code":500}}\n\n'],
  ['of before', 'data: {"object":"error","message":"broke","code":500}\n\n'],
  ['a text', 'data: {"error":"broke"}\n\n'],
  ['beside a choice', event('', 'error').replace('"choices"', '"error":{"message":"broke","code":"x"},"choices"')],
  ['behind a choice', token('b').replace('}]}', '}],"error":{"message":"broke"}}')],
  ['by its name', 'event: error\ndata: {"message":"broke"}\n\n'],
])('an error event in another form: %s', (_how, error) => {
  expect(run(false, token('a'), error, DONE)).toMatchObject({
    events: { done: false, failure: { code: 'engine_failed', cause: expect.stringContaining('5 characters') } },
    passed: token('a'),
  });
});

const WHOLE = token('a') + token('b') + last('c') + USAGE + DONE;
test.each<[how: string, text: string]>([
  ['CRLF', WHOLE.replaceAll('\n', '\r\n')],
  ['CR', WHOLE.replaceAll('\n', '\r')],
  ['a byte order mark', `\uFEFF${WHOLE}`],
  ['no space', WHOLE.replaceAll('data: ', 'data:')],
  ['event, id and retry lines', WHOLE.replaceAll('data: ', 'retry: 3\nid: 7\nevent: message\ndata: ')],
  ['comments', `: hi\n\n${WHOLE.replaceAll('data: ', ':\ndata: ')}: bye\n\n`],
  ['several data lines', WHOLE.replaceAll('{"id":"c",', '{"id":"c",\ndata:')],
  ['empty events', WHOLE.replaceAll('data: {', 'data:\n\ndata: {')],
  [
    'events that are no part of the answer',
    WHOLE.replaceAll('data: {', 'event: ping\ndata: {"type":"ping"}\n\ndata: {'),
  ],
  ['half an event at the end', `${WHOLE}data: {"id`],
])('A3, A4: other spellings reach the client in vLLM’s form, with data lines only: %s', (how, text) => {
  const bytes = Buffer.from(text);
  const expected = how === 'several data lines' ? WHOLE.replaceAll('{"id":"c",', '{"id":"c", ') : WHOLE;
  for (const size of [1, 3, 100, bytes.length])
    expect([size, run(true, ...cut(bytes, size))]).toMatchObject([
      size,
      { events: { done: true, failure: undefined }, passed: expected },
    ]);
});

test('A3: other spellings inside the JSON are read as well', () => {
  const spaced = (text: string): string => text.replaceAll('":', '": ');
  const whole = [token('a'), last('b')].map(spaced).join('');
  expect(run(false, whole + spaced(USAGE).replaceAll('[]', '[ ]') + DONE)).toMatchObject({
    events: { done: true, usage: { promptTokens: 7 } },
    passed: whole + DONE,
  });
  expect(run(false, spaced(event('a', 'abort')), DONE).events).toMatchObject(LOST);
});

/** Pseudorandom numbers, the same in every run. */
function createRandom(): (below: number) => number {
  let seed = 1;
  return (below) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

test('the same bytes and the same verdict result, however a stream is cut', () => {
  const random = createRandom();
  const parts = [
    token('a'),
    token('ä"b\\'),
    token('c', 1),
    last('d'),
    last('e', 1),
    event('f', 'abort'),
    USAGE,
    DONE,
    ERROR,
  ];
  const all = [
    ...parts,
    token('a'),
    token('a'),
    token('a'),
    ROLE,
    ': hi\n\n',
    '\n',
    'event: x\n',
    'data: x\n\n',
    'data: {',
    '\r',
  ];
  const seen = new Set<unknown>();
  for (let n = 0; n < 2_000; n += 1) {
    const text = Array.from({ length: 1 + random(9) }, () => all[random(all.length)]).join('');
    const bytes = Buffer.from(text);
    const verdicts = [bytes.length, 1 + random(300), 1 + random(20), 1].map((size) => {
      const { events, passed } = runFor(2, false, ...cut(bytes, size));
      return {
        passed,
        done: events.done,
        usage: events.usage,
        cause: events.failure?.cause,
        isFinished: events.isFinished,
      };
    });
    expect([text, ...verdicts]).toEqual([text, ...verdicts.map(() => verdicts[0])]);
    seen.add(verdicts[0]?.cause ?? verdicts[0]?.done);
  }
  expect(seen.size).toBeGreaterThan(5);
});

test('a continuation is joined to its stream, and its malformed events fail like those of the first attempt', () => {
  const join = (members: Readonly<Record<string, unknown>>) => ({ ...members, id: 'first' });
  const events = new EngineEvents({ passUsage: false, choices: 1, join });
  expect(events.take(Buffer.from(token('a'))).toString()).toContain('"id":"first"');
  expect(events.take(Buffer.from('data: {"id":"c"}}\n\n')).toString()).toBe('');
  expect(events).toMatchObject(LOST);
});
