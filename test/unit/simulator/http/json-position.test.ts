import { expect, test } from '@jest/globals';
import { jsonErrorAt } from '../../../../worker-launcher/simulator/http/json-position.ts';

/** Positions and words of Python 3.11's json module. */
test.each([
  ['{"model": "x", "messages": [}', 28, 'Expecting value'],
  ['{', 1, 'Expecting property name enclosed in double quotes'],
  ['{"a" 1}', 5, "Expecting ':' delimiter"],
  ['{"a": 1 "b": 2}', 8, "Expecting ',' delimiter"],
  ['[1 2]', 3, "Expecting ',' delimiter"],
  ['{"a": "b', 6, 'Unterminated string starting at'],
  ['nope', 0, 'Expecting value'],
  ['{} {}', 3, 'Extra data'],
  ['{"a": "b\nc"}', 8, 'Invalid control character at'],
])('%j stops at %i: %s', (text, position, reason) => {
  expect(jsonErrorAt(text)).toEqual({ position, reason });
});
