import { expect, test } from '@jest/globals';
import { RecentEntries } from '../../../worker-launcher/dispatch/recent-entries.ts';

const MIB = 1024 * 1024;
const numbers = (recent: RecentEntries<string>, now: number): [string, number[]][] =>
  [...recent.byLine(now)].map(([line, entries]) => [line, entries.map(({ n }) => n)]);

test('entries are kept by attempt, in order, for 30 s', () => {
  const recent = new RecentEntries<string>();
  recent.add('a', 0, Buffer.from('x'), 0);
  recent.add('b', 0, Buffer.from('y'), 10_000);
  recent.add('a', 1, Buffer.from('z'), 20_000);
  expect(numbers(recent, 30_000)).toEqual([
    ['a', [0, 1]],
    ['b', [0]],
  ]);
  expect(numbers(recent, 30_001)).toEqual([
    ['b', [0]],
    ['a', [1]],
  ]);
  expect(numbers(recent, 60_000)).toEqual([]);
});

test('they take 32 MiB at most; the oldest go first', () => {
  const recent = new RecentEntries<string>();
  const frames = Buffer.alloc(MIB);
  for (let n = 0; n < 40; n += 1) recent.add('a', n, frames, n);
  expect(numbers(recent, 40)).toEqual([['a', Array.from({ length: 32 }, (_, index) => index + 8)]]);
});

test('many entries that were forgotten leave the others in order', () => {
  const recent = new RecentEntries<string>();
  for (let n = 0; n < 20_000; n += 1) recent.add('a', n, Buffer.alloc(1), n * 10);
  expect(numbers(recent, 200_000)).toEqual([['a', Array.from({ length: 3_000 }, (_, index) => index + 17_000)]]);
});
