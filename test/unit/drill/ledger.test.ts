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

test('only a stream with all its text and its end is complete', () => {
  expect(endOf({})).toBe('complete');
  expect(endOf({ text: 'a quiet' })).toBe('truncated');
  expect(endOf({ done: false })).toBe('truncated');
  expect(endOf({ broken: 'other side closed', done: false })).toBe('truncated');
  expect(endOf({ timedOut: true })).toBe('hung');
});

test('text that arrives twice or in another order counts as duplicated, whatever else failed', () => {
  expect(endOf({ text: 'a quiet quiet river.' })).toBe('duplicated');
  expect(endOf({ text: 'a quiet river. a', done: false, errorTold: true })).toBe('duplicated');
});

test('an error counts only in the form of its dialect and without [DONE]', () => {
  expect(endOf({ text: 'a', done: false, errorTold: true })).toBe('error');
  expect(endOf({ status: 502, text: '', done: false, errorTold: true })).toBe('error');
  expect(endOf({ status: 502, text: '', done: false })).toBe('truncated');
  expect(endOf({ text: 'a', errorTold: true })).toBe('truncated');
});

test('a connection broken by the kill of its server is an error, unless text arrived twice', () => {
  const rules = { brokenIsError: true };
  expect(endOf({ text: 'a', done: false, broken: 'reset' }, rules)).toBe('error');
  expect(endOf({ text: 'aa', done: false, broken: 'reset' }, rules)).toBe('duplicated');
});

test('an answer with wrong token counts is not complete', () => {
  const asked = { kind: 'stream', wantsUsage: true };
  const rules = { brokenIsError: false };
  expect(endOf({ usage: expected.usage }, rules, asked)).toBe('complete');
  expect(endOf({ usage: { prompt_tokens: 5, completion_tokens: 9 } }, rules, asked)).toBe('truncated');
  expect(endOf({ usage: expected.usage })).toBe('truncated');
});

test('a row with a request that never ended fails', () => {
  const ledger = new Ledger();
  ledger.sent();
  expect(isSound(ledger.row)).toBe(false);
  ledger.ended({ end: 'complete', why: '' }, 12.4);
  expect(isSound(ledger.row)).toBe(true);
  expect(ledger.row.stallMs).toBe(12);
});
