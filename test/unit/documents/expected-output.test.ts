import { expect, test } from '@jest/globals';
import { isExpected } from '../../documents/expected-output.mjs';

test.each([
  ['text', 'a\n  b  \n', 'a\n  b\n', true],
  ['text', 'a b', 'a  b', false],
  ['text', 'a', 'a\nb', false],
  ['text', 'a\n…', 'a\nb\nc', true],
  ['text', 'penstock_…', 'penstock_abc', true],
  ['text', 'a.c (x)', 'abc (x)', false],
  ['json', '{ "a": [1, 2] }', '{"a":[1,2]}\n', true],
  ['json', '{"a": "x y"}', '{"a":"x  y"}', false],
  ['json', '{"a": "…", "b": …}', '{"a":"x \\" y","b":{"c":1}}', true],
  ['json', '{"a": 1, …}', '{"a":1}', true],
  ['json', '{"a": 1, …}', '{"a":1,"b":2}', true],
  ['json', '[1, …]', '[1,2,3]', true],
  ['json', '{"a": 1, …}', '{"a":12}', false],
  ['json', '{"a": 1}', '{"a":1,"b":2}', false],
] as const)('output in %s: %j and %j', (language, shown, output, is) => {
  expect(isExpected(language, shown, output)).toBe(is);
});
