import { expect, test } from '@jest/globals';
import { AnswerRecord } from '../../../worker-launcher/engine/answer-record.ts';

function records(count: number) {
  const all = Array.from({ length: count }, () => new AnswerRecord());
  const siblingsOf = (which: number) => all.filter((_one, index) => index !== which);
  const isOutlier = (which: number, now: number) => all[which]?.isOutlier(siblingsOf(which), now);
  const isDoubtful = (which: number, now: number) => all[which]?.isDoubtful(siblingsOf(which), now);
  return { all, isOutlier, isDoubtful };
}

test.each([500, 502, 302, 401, 403, 404, 407, 408, 409, 425, 429])(
  'H4: an engine that answers %d while its sibling answers 200 is an outlier',
  (status) => {
    const { all, isOutlier } = records(2);
    all[0]?.answered(status, 1);
    all[1]?.answered(200, 2);
    expect(isOutlier(0, 3)).toBe(false);
    all[0]?.answered(status, 4);
    expect(isOutlier(0, 5)).toBe(true);
    expect(isOutlier(1, 5)).toBe(false);
  },
);

test('H4: if all engines answer alike, none is blamed', () => {
  const { all, isOutlier } = records(3);
  for (const one of all) one.answered(200, 0);
  for (let n = 1; n < 10; n += 1) for (const one of all) one.answered(500, n);
  expect([0, 1, 2].map((which) => isOutlier(which, 11))).toEqual([false, false, false]);
});

test('H4: an answer, or time, clears the failures; a full engine and a caller’s mistake don’t count', () => {
  const { all, isOutlier } = records(2);
  const [one, other] = all;
  one?.answered(500, 1);
  one?.answered(500, 2);
  other?.answered(200, 3);
  expect(one?.failures(9_000)).toBe(2);
  expect(one?.failures(13_000)).toBe(0);
  one?.answered(200, 4);
  expect(isOutlier(0, 5)).toBe(false);
  for (const status of [503, 400, 422]) for (let n = 0; n < 5; n += 1) one?.answered(status, 6);
  expect(one?.failures(7)).toBe(0);
});

test('H4: an engine without siblings is probed after three failures, at most every 30 s', () => {
  const alone = new AnswerRecord();
  const fails = (now: number): boolean => {
    alone.answered(500, now);
    return alone.isOutlier([], now);
  };
  expect([1, 2, 3, 4, 29_000].map(fails)).toEqual([false, false, true, false, false]);
  expect([34_001, 34_002].map(fails)).toContain(true);
});

test('H4: an engine that refuses twice while its sibling answers gets a test request, at most every 5 s', () => {
  const { all, isOutlier, isDoubtful } = records(2);
  const [one, other] = all;
  one?.answered(400, 1);
  other?.answered(200, 2);
  expect(isDoubtful(0, 3)).toBe(false);
  expect(one?.answered(422, 4)).toBe(true);
  expect([isOutlier(0, 5), isDoubtful(0, 5), isDoubtful(0, 6), isDoubtful(0, 5_006)]).toEqual([
    false,
    true,
    false,
    true,
  ]);
  expect(one?.answered(200, 5_010)).toBe(true);
  expect(one?.refusals(5_011)).toBe(0);
});

test('H4: if all engines refuse, none gets a test request', () => {
  const { all, isDoubtful } = records(2);
  for (const one of all) one.answered(200, 0);
  for (let n = 1; n < 10; n += 1) for (const one of all) one.answered(400, n);
  expect([0, 1].map((which) => isDoubtful(which, 11))).toEqual([false, false]);
});
