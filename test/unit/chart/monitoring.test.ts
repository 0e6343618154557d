import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createMetrics as gatewayMetrics } from '../../../gateway/metrics.ts';
import { createMetrics as launcherMetrics } from '../../../worker-launcher/metrics.ts';
import { monitoringProblems } from '../../chart/monitoring-problems.mjs';

test('alerts and dashboards query only exported metrics, and every metric of a fault has an alert', () => {
  expect(monitoringProblems()).toEqual([]);
});

test('counters of alerts start at zero, so that the first event is an increase', async () => {
  const registry = new Registry();
  gatewayMetrics(registry, {
    models: [],
    depth: () => Promise.resolve(0),
    outlook: () => Promise.reject(new Error('none')),
    lagMs: () => 0,
    auditLinesLost: () => 0,
  });
  const launcher = new Registry();
  launcherMetrics(
    launcher,
    () => [],
    () => 0,
  );
  const page = (await registry.metrics()) + (await launcher.metrics());
  for (const sample of [
    'penstock_admission_total{outcome="evicted_no_engine"}',
    'penstock_admission_total{outcome="rejected_unavailable"}',
    'penstock_engine_restarts_total{reason="exited"}',
    'penstock_engine_outliers_total{reason="slow"}',
    'penstock_quarantined_total',
  ])
    expect(page).toContain(`\n${sample} 0\n`);
});
