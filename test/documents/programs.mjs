// @ts-check
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { z } from 'zod';
import { readRecorded, recordedTable } from '../../deploy/bench/self/recorded.mjs';
import { metricsTable, settingsTable } from './tables.mjs';

/**
 * Modules of the programs: a test has their sources, a command what was compiled.
 * @typedef {object} Programs
 * @property {typeof import('../../gateway/config.ts')} gatewayConfig
 * @property {typeof import('../../gateway/metrics.ts')} gatewayMetrics
 * @property {typeof import('../../worker-launcher/config.ts')} workerConfig
 * @property {typeof import('../../worker-launcher/metrics.ts')} launcherMetrics
 * @property {typeof import('../../gateway/runtime/redis-watch.ts')} redisWatch
 * @property {typeof import('../../gateway/runtime/trace-settings.ts')} traceSettings
 */

const Metric = z.object({ name: z.string(), help: z.string(), type: z.string(), labelNames: z.array(z.string()) });
const nothing = () => {};
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/**
 * What every region that a page may have should hold, by name.
 * @param {string} root
 * @param {Programs} programs
 * @returns {Record<string, string>}
 */
export function regionContents(
  root,
  { gatewayConfig, gatewayMetrics, workerConfig, launcherMetrics, redisWatch, traceSettings },
) {
  const [gateway, launcher] = [new Registry(), new Registry()];
  gatewayMetrics.createMetrics(gateway, {
    models: [],
    depth: async () => 0,
    outlook: () => Promise.reject(new Error('none')),
    lagMs: () => 0,
    auditLinesLost: () => 0,
    byKey: true,
  });
  launcherMetrics.createMetrics(
    launcher,
    () => [],
    () => 0,
  );
  const watch = new redisWatch.RedisWatch({}, SILENT);
  for (const registry of [gateway, launcher]) watch.registerMetrics(registry);
  watch.stop();
  /** @param {string} file */
  const read = (file) => readFileSync(join(root, file), 'utf8');
  return {
    'settings gateway': settingsTable(
      'GATEWAY_',
      read('gateway/config.ts') + read('gateway/safety/settings.ts'),
      gatewayConfig.loadConfig,
    ),
    'settings worker': settingsTable('WORKER_', read('worker-launcher/config.ts'), workerConfig.loadConfig),
    'settings traces': settingsTable(
      'OTEL_',
      read('gateway/runtime/trace-settings.ts'),
      traceSettings.loadTraceSettings,
    ),
    metrics: metricsTable(metricsOf(gateway), metricsOf(launcher)),
    'cpu time': recordedTable(readRecorded()),
  };
}

/** @param {Registry} registry @returns {import('./tables.mjs').Metric[]} */
function metricsOf(registry) {
  return registry
    .getMetricsAsArray()
    .map((metric) => Metric.parse(metric))
    .map(({ labelNames, ...metric }) => ({ ...metric, labels: labelNames }));
}
