import { expect, test } from '@jest/globals';
import { isSound, judge, Ledger } from '../../drill/ledger.mjs';

const expected = { text: 'a quiet river.', usage: { prompt_tokens: 5, completion_tokens: 4 } };
const whole = {
  status: 200,
  retryAfter: Number.NaN,
  text: expected.text,
  done: true,
  errorTold: false,
  wrong: '',
  broken: '',
  timedOut: false,
  usage: undefined,
  longestGapMs: 0,
  firstAt: 1,
  endedAt: 2,
  detail: '',
};
const question = { kind: 'stream', wantsUsage: false };
const endOf = (seen: object, rules = { brokenIsError: false }, asked = question): string =>
  judge({ ...whole, ...seen }, expected, asked, rules).end;

test('only a stream with all of the text and its end is complete', () => {
  expect(endOf({})).toBe('complete');
  expect(endOf({ text: 'a quiet' })).toBe('truncated');
  expect(endOf({ done: false })).toBe('truncated');
  expect(endOf({ broken: 'other side closed', done: false })).toBe('truncated');
  expect(endOf({ timedOut: true })).toBe('hung');
});

test('text that comes twice, or in another order, is duplicated, whatever else went wrong', () => {
  expect(endOf({ text: 'a quiet quiet river.' })).toBe('duplicated');
  expect(endOf({ text: 'a quiet river. a', done: false, errorTold: true })).toBe('duplicated');
});

test('an error counts only if it was told in the dialect, and without [DONE]', () => {
  expect(endOf({ text: 'a', done: false, errorTold: true })).toBe('error');
  expect(endOf({ status: 502, text: '', done: false, errorTold: true })).toBe('error');
  expect(endOf({ status: 502, text: '', done: false })).toBe('truncated');
  expect(endOf({ text: 'a', errorTold: true })).toBe('truncated');
});

test('a connection that broke because its server was killed is an error, unless text came twice', () => {
  const rules = { brokenIsError: true };
  expect(endOf({ text: 'a', done: false, broken: 'reset' }, rules)).toBe('error');
  expect(endOf({ text: 'aa', done: false, broken: 'reset' }, rules)).toBe('duplicated');
});

test('token counts that do not add up are not complete', () => {
  const asked = { kind: 'stream', wantsUsage: true };
  const rules = { brokenIsError: false };
  expect(endOf({ usage: expected.usage }, rules, asked)).toBe('complete');
  expect(endOf({ usage: { prompt_tokens: 5, completion_tokens: 9 } }, rules, asked)).toBe('truncated');
  expect(endOf({ usage: expected.usage })).toBe('truncated');
});

test('a row in which a request never ended is not sound', () => {
  const ledger = new Ledger();
  ledger.sent();
  expect(isSound(ledger.row)).toBe(false);
  ledger.ended({ end: 'complete', why: '' }, 12.4);
  expect(isSound(ledger.row)).toBe(true);
  expect(ledger.row.stallMs).toBe(12);
});
