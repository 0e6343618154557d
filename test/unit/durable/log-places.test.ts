import { expect, test } from '@jest/globals';
import {
  compareLives,
  entryId,
  fenceId,
  FIRST_ENTRY,
  LAST_ENTRY,
  logPlace,
  seamId,
} from '../../../gateway/contract/answer-log.ts';

test('ids of entries are in the order of attempts, fences, seams and epochs', () => {
  const ids = [
    FIRST_ENTRY,
    entryId({ epoch: 1, attempt: 1, random: 0 }, 0),
    entryId({ epoch: 1, attempt: 1, random: 65_535 }, 0),
    entryId({ epoch: 1, attempt: 1, random: 65_535 }, 70_000),
    entryId({ epoch: 1, attempt: 3_600, random: 0 }, 0),
    fenceId(2),
    seamId(2),
    entryId({ epoch: 2, attempt: 1, random: 7 }, 0),
    entryId({ epoch: 65_535, attempt: 65_535, random: 65_535 }, 0),
    LAST_ENTRY,
  ];
  const keys = ids.map((id) => id.split('-').map(Number));
  const sorted = keys.toSorted(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d);
  expect(keys).toEqual(sorted);
});

test.each([
  [entryId({ epoch: 3, attempt: 2, random: 9 }, 5), { epoch: 3, attempt: 2, random: 9, n: 5 }],
  [fenceId(2), { epoch: 2, attempt: 0, random: 0, n: 0 }],
  [seamId(2), { epoch: 2, attempt: 0, random: 1, n: 0 }],
  [LAST_ENTRY, undefined],
  ['', undefined],
  ['x-1', undefined],
])('the place of %j is %j', (id, place) => {
  expect(logPlace(id)).toEqual(place);
});

test('lives are in the order of their epochs and attempts', () => {
  const life = { epoch: 2, attempt: 3, random: 4 };
  expect(compareLives(life, { ...life })).toBe(0);
  for (const later of [
    { epoch: 3, attempt: 0, random: 0 },
    { ...life, attempt: 4, random: 0 },
    { ...life, random: 5 },
  ]) {
    expect(compareLives(life, later)).toBeLessThan(0);
    expect(compareLives(later, life)).toBeGreaterThan(0);
  }
});
