import { expect, test } from '@jest/globals';
import type { Measured } from '../../../deploy/bench/compare/measure.mjs';
import { manyStreams, nodeLoad, openStreams, soakLoads } from '../../../deploy/bench/scale/loads.mjs';
import { byKind, memoryTable, ratesTable } from '../../../deploy/bench/scale/table.mjs';

const measured: Measured = {
  figures: {
    ok: 90,
    chunks: 9_000,
    incomplete: 0,
    wallSeconds: 12,
    errors: {},
    latency: { p50: null, p99: null },
    firstToken: { p50: 2, p99: 5 },
    gap: { p50: 20, p99: 33 },
  },
  cpu: { 'gateway 1': 9, dispatcher: 2 },
  steady: { seconds: 10, chunks: 5_000, answers: 40, cpu: { 'gateway 1': 3, 'gateway 2': 4, dispatcher: 1 } },
  loadSide: 6,
  memoryMiB: 100,
  memoryEach: {},
};

test('the streams of a node make both of its rates', () => {
  const { concurrency, tokens, seconds, rampMs } = nodeLoad(10, 1);
  const streamSeconds = ((tokens ?? 0) * 20) / 1_000;
  expect(concurrency / streamSeconds).toBeCloseTo(240, 0);
  expect(concurrency * 50).toBe(55_000);
  expect(seconds * 1_000 - rampMs).toBeCloseTo(10_000);
});

test('a smaller share has fewer callers, at least one', () => {
  expect([manyStreams(2, 5, 0.1), openStreams(5, 0.01)].map(({ concurrency }) => concurrency)).toEqual([300, 50]);
  expect(soakLoads(1, 0.001).map(({ concurrency }) => concurrency)).toEqual([1, 1, 1]);
});

test('processes of one kind are added', () => {
  expect(byKind({ 'gateway 1': 1, 'gateway 2': 2, 'queue Redis': 4 })).toEqual({ gateway: 3, 'queue Redis': 4 });
});

test('rates and cores are those of the time in which all callers run', () => {
  const [head, , row] = ratesTable('chunks/s', [{ title: '2 × 1', offered: 600, measured }]).split('\n');
  expect(head).toContain('| gateway, cores | dispatcher, cores | all, cores |');
  expect(row).toBe('| 2 × 1 | 600 | 500 | 4 | 0.70 | 0.10 | 0.80 | 0.50 | 2.0 / 5.0 | 20.0 / 33.0 | 0 | 0 |');
});

test('memory is shown at both times, with the sum', () => {
  const lines = memoryTable(['minute 5', 'end'], { gateway: 100, Redis: 10 }, { gateway: 112.4, Redis: 10 }).split(
    '\n',
  );
  expect(lines.slice(2)).toEqual([
    '| gateway | 100 | 112 | 12 |',
    '| Redis | 10 | 10 | 0 |',
    '| all | 110 | 122 | 12 |',
  ]);
});
