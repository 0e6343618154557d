import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { noteWait } from '../../../gateway/http/notes.ts';
import { createMetrics } from '../../../gateway/metrics.ts';

test('a wait is counted as it was, as it was told, and how far these differ; without an estimate only as it was', async () => {
  const registry = new Registry();
  const metrics = createMetrics(registry, {
    models: [],
    depth: () => Promise.resolve(0),
    outlook: () => Promise.reject(new Error('none')),
    lagMs: () => 0,
    auditLinesLost: () => 0,
  });
  const waited = { requestId: '', repeats: 0, enqueuedAt: 1_000, claimedAt: 3_000 };
  noteWait({ metrics }, { phases: { ...waited, estimateMs: 5_000 } }, 'text');
  noteWait({ metrics }, { phases: waited }, 'text');
  noteWait({ metrics }, { phases: { requestId: '', repeats: 0, enqueuedAt: 1_000 } }, 'text');
  const page = await registry.metrics();
  const sums = ['wait', 'told_wait', 'wait_error'].map((name) => {
    const of = (part: string): string | undefined =>
      new RegExp(`^penstock_queue_${name}_seconds_${part}{kind="text"} (.+)$`, 'm').exec(page)?.[1];
    return [name, of('sum'), of('count')];
  });
  expect(sums).toEqual([
    ['wait', '4', '2'],
    ['told_wait', '5', '1'],
    ['wait_error', '3', '1'],
  ]);
});
