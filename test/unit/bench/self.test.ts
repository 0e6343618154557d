import { expect, test } from '@jest/globals';
import { recordedTable } from '../../../deploy/bench/self/recorded.mjs';
import { UNITS, comparison, costs, turnsOf } from '../../../deploy/bench/self/turns.mjs';

const RECORDING = { command: '--requests 9', date: '2026-01-01', commit: 'abc1234', node: 'v24', cores: 2, load: 1 };

test('each second round has the opposite order', () => {
  expect(turnsOf(3, true)).toEqual(['this', 'other', 'other', 'this', 'this', 'other']);
  expect(turnsOf(2, false)).toEqual(['this', 'this']);
});

test('the cost is that of all turns together', () => {
  const turns = [
    { count: 100, used: { gateway: 0.1, Redis: 0.02 }, wallSeconds: 1 },
    { count: 300, used: { gateway: 0.1, Redis: 0.02 }, wallSeconds: 9 },
  ];
  const each = costs(turns, UNITS.requests);
  expect(each['gateway']).toBeCloseTo(0.5);
  expect(each['all']).toBeCloseTo(0.6);
});

test('the table has both checkouts, their ratio and the recorded figures', () => {
  const recording = { ...RECORDING, costs: { gateway: 44 } };
  const sides = { this: { gateway: 30, all: 40 }, other: { gateway: 60, all: 50 } };
  expect(comparison(UNITS.streams, sides, recording).split('\n')).toEqual([
    '| CPU µs of a streamed chunk | this checkout | other checkout | this / other | recorded 2026-01-01, abc1234 |',
    '| --- | --- | --- | --- | --- |',
    '| gateway | 30.0 | 60.0 | 0.50 | 44.0 |',
    '| all | 40.0 | 50.0 | 0.80 | – |',
  ]);
  expect(comparison(UNITS.streams, { this: { all: 40 } }, undefined)).toContain('| all | 40.0 |');
});

test('the published table names date, commit and machine of each figure', () => {
  const requests = { ...RECORDING, costs: { gateway: 0.5, all: 0.71 } };
  const table = recordedTable({ requests, streams: { ...RECORDING, load: null, costs: { gateway: 40, all: 60 } } });
  expect(table).toContain('| all | 0.71 | 60 |');
  expect(table).toContain('| measured | 2026-01-01, `abc1234` | 2026-01-01, `abc1234` |');
  expect(table).toContain('| cores, load average | 2, 1 | 2, – |');
});
