import { expect, test } from '@jest/globals';
import { AnswerOutline } from '../../../../gateway/answer/engine/answer-outline.ts';
import { asManyHere, leastCpuMs } from '../../../support/cpu-time.ts';

/** @param size of the pieces in which it arrives */
function outlineOf(text: string, size = text.length): unknown {
  const outline = new AnswerOutline();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) outline.add(bytes.subarray(at, at + size));
  return JSON.parse(outline.bytes().toString('utf8'));
}

const LONG = {
  id: 'x',
  choices: [
    {
      index: 0,
      message: { content: 'say "logprobs": [1, {"tokens": 2}] \\ é' },
      logprobs: { content: [{ token: '}],"', top_logprobs: [{ token: '\\"', logprob: -1 }] }] },
      finish_reason: 'stop',
    },
    { index: 1, logprobs: null, text: '', finish_reason: 'length' },
  ],
  usage: { prompt_tokens: 1 },
};
const WITHOUT = { ...LONG, choices: LONG.choices.map((choice) => ({ ...choice, logprobs: null })) };

test.each([1, 2, 3, 7, 1_000])('N2: an answer in pieces of %i bytes loses only its long lists', (size) => {
  for (const text of [JSON.stringify(LONG), JSON.stringify(LONG, null, 2)])
    expect(outlineOf(text, size)).toEqual(WITHOUT);
  const counted = { count: 3, tokens: [1, 2, 3], token_strs: ['a', ']', '"'], max_model_len: 9 };
  expect(outlineOf(JSON.stringify(counted), size)).toEqual({ ...counted, tokens: null, token_strs: null });
  expect(outlineOf('{"tokens":"a]}","b":-1.5e3}', size)).toEqual({ tokens: null, b: -1500 });
});

test.each([JSON.stringify(LONG).slice(0, -1), '{"tokens":[1,2', '{"tokens":[1,2]', '{"a"'])(
  'a truncated answer stays truncated: %s',
  (text) => {
    expect(() => outlineOf(text)).toThrow(SyntaxError);
  },
);

test.each([
  'NaN',
  '[97,]',
  '[,1]',
  '[1 2]',
  '[01]',
  '[1.]',
  '[-]',
  '[.5]',
  '[1e]',
  '[+1]',
  '[tru]',
  '[nul]',
  '[truee]',
  '[1}',
  '{"a":1]',
  '{"a"}',
  '{"a":1,}',
  '{a:1}',
  '{1:1}',
  '["a',
  '["\t"]',
  String.raw`["\x"]`,
  String.raw`["\u12g4"]`,
  '',
  '[}',
  '"a" 1',
  '{,}',
])('A2: a long list that is invalid JSON makes the answer invalid: %s', (list) => {
  for (const text of [`{"tokens":${list},"b":1}`, `{"tokens":${list}}`])
    for (const size of [1, 3, 1_000]) expect(() => outlineOf(text, size)).toThrow(SyntaxError);
});

test('A2: a long list is left out, whatever JSON it contains', () => {
  const values = [
    0,
    -0.5,
    1e21,
    1.5e-7,
    10,
    true,
    false,
    null,
    '',
    'é\u2028\\"/\n,]}',
    [],
    {},
    [[]],
    { a: {}, '': [1] },
  ];
  for (const value of [...values, values, { values }])
    for (const text of [JSON.stringify({ tokens: value, b: 1 }), JSON.stringify({ tokens: value, b: 1 }, null, 1)])
      for (const size of [1, 5, 1_000]) expect([text, outlineOf(text, size)]).toEqual([text, { tokens: null, b: 1 }]);
  expect(outlineOf('{"tokens" : [ 1E+2 , 0e-1 ,"\\u00Af" ] , "b":1}')).toEqual({ tokens: null, b: 1 });
});

test('N2: 10 MB of log probabilities take less than 50 ms of CPU', () => {
  const one = { token: 'word', logprob: -1.2345678, bytes: [119, 111, 114, 100] };
  const content = Array.from({ length: 4_096 }, () => ({ ...one, top_logprobs: Array(20).fill(one) }));
  const bytes = Buffer.from(JSON.stringify({ choices: [{ logprobs: { content }, finish_reason: 'stop' }] }));
  expect(bytes.length).toBeGreaterThan(5_000_000);
  const allowedMs = asManyHere(50);
  const usedMs = leastCpuMs(() => {
    const outline = new AnswerOutline();
    outline.add(bytes);
    expect(outline.bytes().length).toBeLessThan(100);
  }, allowedMs);
  expect(usedMs).toBeLessThanOrEqual(allowedMs);
});
