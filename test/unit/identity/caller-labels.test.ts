import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createMetrics } from '../../../gateway/metrics.ts';

test('callers with a token have 1,000 labels at most; keys and callers with a label keep theirs', () => {
  const { labelOf } = createMetrics(new Registry(), {
    models: [],
    depth: () => Promise.resolve(0),
    outlook: () => Promise.reject(new Error('none')),
    lagMs: () => 0,
    auditLinesLost: () => 0,
  });
  const labels = Array.from({ length: 5_000 }, (_, at) => labelOf(`entra:${at}`));
  expect(new Set(labels).size).toBe(1_001);
  expect(labels.slice(998, 1_002)).toEqual(['entra:998', 'entra:999', 'entra:other', 'entra:other']);
  expect([labelOf('entra:7'), labelOf('team-oslo'), labelOf('keycloak:7')]).toEqual([
    'entra:7',
    'team-oslo',
    'keycloak:other',
  ]);
});
