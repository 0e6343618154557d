import { expect, test } from '@jest/globals';
import { AfterNumber } from '../../../gateway/durable/after-number.ts';

const event = (number: number, delta = 'x'): string =>
  `event: response.output_text.delta\ndata: ${JSON.stringify({ sequence_number: number, delta })}\n\n`;

test.each([
  [-1, [0, 1, 2, 3]],
  [1, [2, 3]],
  [3, []],
])('after event %i the others follow, whatever pieces they come in', (after, rest) => {
  const from = new AfterNumber(after);
  const text = from.pass(event(0) + event(1)) + from.pass(Buffer.from(event(2))) + from.pass(event(3));
  expect(text).toBe(rest.map((number) => event(number)).join(''));
  expect(from.highest).toBe(3);
});

test('comments pass, and a number in the text of an answer is no number', () => {
  const from = new AfterNumber(5);
  const said = event(6, '"sequence_number":1, and \\"sequence_number\\":2');
  expect(from.pass(': keep-alive\n\n') + from.pass(event(5)) + from.pass(said)).toBe(`: keep-alive\n\n${said}`);
});
