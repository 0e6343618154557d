import { expect, test } from '@jest/globals';
import { bytes, counted, duration, tenths, timeOfDay, whole } from '../../../gateway/console/format.ts';
import { refusalIn, refusalOf } from '../../../gateway/console/refusal.ts';
import { pageOf } from '../../../gateway/console/route.ts';
import { byDay, sorted, sumOf, type UsageRow } from '../../../gateway/console/usage-sums.ts';
import { USAGE_COUNTS } from '#contract/usage';

const NONE = Object.fromEntries(USAGE_COUNTS.map((name) => [name, 0])) as UsageRow['counts'];
const row = (day: string, key: string, requests: number): UsageRow => ({
  day,
  key,
  model: 'm',
  counts: { ...NONE, requests },
});

test('figures are short and have units', () => {
  expect([0, 840, 3_460, 59_999, 125_000, 12_000_000].map(duration)).toEqual([
    '0 ms',
    '840 ms',
    '3.4 s',
    '59.9 s',
    '2 min 5 s',
    '3 h 20 min',
  ]);
  expect([whole(131_072), tenths(36.44), whole(null), duration(undefined)]).toEqual(['131,072', '36.4', '–', '–']);
  expect([bytes(812), bytes(48_200), bytes(1_230_000)]).toEqual(['812 B', '48 kB', '1.2 MB']);
  expect([counted(1, 'picture'), counted(2, 'picture')]).toEqual(['1 picture', '2 pictures']);
  expect(timeOfDay('no time')).toBe('no time');
});

test('usage: newest day first, sums, and a bar for each day also without usage', () => {
  const rows = [row('2026-11-28', 'b', 1), row('2026-11-30', 'b', 4), row('2026-11-30', 'a', 2)];
  expect(sorted(rows).map(({ day, key }) => `${day} ${key}`)).toEqual(['2026-11-30 a', '2026-11-30 b', '2026-11-28 b']);
  expect(sumOf(rows, 'requests')).toBe(7);
  expect(byDay(rows, 'requests', 3, Date.parse('2026-11-30T23:59:00Z'))).toEqual([
    { day: '2026-11-28', sum: 1 },
    { day: '2026-11-29', sum: 0 },
    { day: '2026-11-30', sum: 6 },
  ]);
});

test('a refusal has its code, its numbers and the time of the next try', () => {
  const error = {
    message: 'too many',
    type: 't',
    param: 'max_tokens',
    code: 'max_tokens_exceeded',
    asked: 8192,
    allowed: 4096,
  };
  const headers = new Headers({ 'retry-after': '3', 'x-penstock-refusal': 'queue_full; booked', 'x-request-id': 'r1' });
  expect(refusalIn(429, headers, JSON.stringify({ error }))).toMatchObject({
    message: 'too many',
    status: 429,
    code: 'max_tokens_exceeded',
    param: 'max_tokens',
    asked: 8_192,
    allowed: 4_096,
    reason: 'queue_full; booked',
    retryAfterSeconds: 3,
    requestId: 'r1',
  });
  expect(refusalIn(502, new Headers(), '<html>').message).toBe('the gateway answered with status 502');
  expect(refusalOf(null, 500).code).toBeUndefined();
});

test.each([
  ['#/live', 'live'],
  ['#/usage', 'usage'],
  ['', 'playground'],
  ['#/<script>', 'playground'],
])('the address %p names the page %s', (hash, page) => {
  expect(pageOf(hash)).toBe(page);
});
