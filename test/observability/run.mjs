// @ts-check
/**
 * `npm run dashboards`: runs the queries of all dashboards, and the alerts, on a real Prometheus that scrapes a real
 * Penstock under a mixed load, in which an engine is killed and another one falls silent.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { boardQueries } from '../chart/monitoring-problems.mjs';
import { known, ROOT, sendSignal } from '../drill/processes.mjs';
import { Stack } from '../drill/stack.mjs';
import { keyFile, sendLoad } from './load.mjs';
import { Prometheus, prometheusPrograms } from './prometheus.mjs';
import { startServices } from './services.mjs';

const HELP = `usage: npm run dashboards -- [--seconds N]

  --seconds N   length of the load, at least 60 (120)
  --help        this text

Needs Prometheus and promtool on PATH, or Debian's package repository. Exit code 1 if a query of a dashboard had no data
(unless the list in this file says why), if an alert cannot be evaluated, or if promtool refuses the alerts or their tests.`;

const ALERTS = join(ROOT, 'deploy/observability/alerts.yaml');
/** Queries that have no data here, by a metric in them. */
const WITHOUT_DATA = new Map([
  ['redis_memory_used_bytes', 'of redis_exporter, which is not part of Penstock'],
  ['redis_memory_max_bytes', 'the same'],
  ['redis_aof_last_write_status', 'the same'],
]);
const ENGINES = 3;
/** A launcher notices silence after 10 s, and on a busy machine later. */
const NOTICED_WITHIN_MS = 90_000;

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '120' }, help: { type: 'boolean' } } });
process.exitCode = await main();

async function main() {
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 60 || seconds > 3_600) {
    console.error('--seconds is a number from 60 to 3600');
    return 2;
  }
  const programs = prometheusPrograms();
  if (programs === undefined) {
    console.error("there is no Prometheus on PATH, and Debian's package cannot be downloaded");
    return 1;
  }
  const tools = [
    ['check', 'rules', '--lint=all', '--lint-fatal', ALERTS],
    ['test', 'rules', join(ROOT, 'deploy/observability/alerts.test.yaml')],
  ].filter((args) => spawnSync(programs.promtool, args, { stdio: 'inherit' }).status !== 0);
  const folder = mkdtempSync(join(tmpdir(), 'penstock-dashboards-'));
  try {
    const bad = await tryQueries(programs, folder, seconds * 1_000);
    return tools.length + bad > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {import('./prometheus.mjs').PrometheusPrograms} programs @param {string} folder @param {number} loadMs
 * @returns {Promise<number>} how many queries and alerts are not as they should be
 */
async function tryQueries(programs, folder, loadMs) {
  const services = await startServices();
  const keys = join(folder, 'keys.yaml');
  writeFileSync(keys, keyFile(services.receiverUrl), { mode: 0o600 });
  /** @type {Stack | undefined} */
  let stack;
  /** @type {Prometheus | undefined} */
  let prometheus;
  try {
    stack = await Stack.start({
      engines: ENGINES,
      gatewayEnv: {
        GATEWAY_KEYS_FILE: keys,
        GATEWAY_USAGE_METRICS: 'true',
        GATEWAY_WEBHOOK_ALLOW: '127.0.0.1',
        GATEWAY_SAFETY_PROVIDER: 'webhook',
        GATEWAY_SAFETY_URL: services.filterUrl,
        // Where answers are judged too, none is kept.
        GATEWAY_SAFETY_CHECKS: 'prompt',
      },
      workerEnv: {
        WORKER_MAX_IN_FLIGHT_TEXT: '3',
        WORKER_MAX_IN_FLIGHT_IMAGE: '2',
        PENSTOCK_SIM_TTFT_MS: '30',
        PENSTOCK_SIM_ITL_MS: '15',
      },
    });
    // A second node, whose engine never starts.
    await stack.startLauncher({ PENSTOCK_SIM_FAULTS: 'fail-start=out-of-memory' });
    const address = (/** @type {{ internalUrl: string }} */ { internalUrl }) => new URL(internalUrl).host;
    const targets = [
      ...stack.gateways.map((one, index) => ({ address: address(one), labels: { pod: `gateway-${index}` } })),
      ...stack.launchers.map((one, index) => ({
        address: address(one),
        labels: { pod: `worker-${index}`, pool: 'default' },
      })),
    ];
    prometheus = await Prometheus.start(programs, { folder, targets, rules: ALERTS });
    const fromMs = Date.now();
    const statuses = await underLoad(stack, prometheus, loadMs);
    console.log(`answers by status: ${[...statuses].map(([status, count]) => `${status} ${count}`).join(', ')}`);
    const bad = [await badQueries(prometheus, fromMs), await badAlerts(prometheus)];
    return bad.reduce((sum, count) => sum + count, 0);
  } finally {
    await prometheus?.stop();
    await stack?.stop();
    services.stop();
  }
}

/** @param {Stack} stack @param {Prometheus} prometheus @param {number} loadMs it takes longer until the silent engine is noticed */
async function underLoad(stack, prometheus, loadMs) {
  const load = new AbortController();
  const sent = sendLoad(stack.gateways[0]?.url ?? '', load.signal);
  try {
    await setTimeout(loadMs * 0.3);
    const [first, second] = (await stack.engines()).filter(({ state }) => state === 'ready');
    const killed = known(first?.pid ?? 0);
    if (killed === undefined || second === undefined) throw new Error('there are no engines to disturb');
    sendSignal(killed, 'SIGKILL', { group: true });
    await setTimeout(loadMs * 0.2);
    await stack.fault(second, { mute: true });
    const mutedAt = Date.now();
    await setTimeout(loadMs * 0.5);
    const isNoticed = async () => (await prometheus.series('penstock_engine_outlier', mutedAt, Date.now())).length > 0;
    while (Date.now() < mutedAt + NOTICED_WITHIN_MS && !(await isNoticed())) await setTimeout(500);
  } finally {
    load.abort();
  }
  return await sent;
}

/** Prints a line for each query. @param {Prometheus} prometheus @param {number} fromMs @returns {Promise<number>} */
async function badQueries(prometheus, fromMs) {
  const queries = boardQueries();
  let bad = 0;
  for (const { by, expr } of queries) {
    const query = expr.replaceAll('$__rate_interval', '30s').replaceAll(/\$\w+/g, '.*');
    const series = await prometheus.series(query, fromMs, Date.now());
    const reason = [...WITHOUT_DATA].find(([metric]) => expr.includes(metric))?.[1];
    const isBad = (series.length === 0) === (reason === undefined);
    if (isBad) bad += 1;
    const most = Math.max(...series.flatMap(({ values: numbers }) => numbers));
    const found = series.length === 0 ? (reason ?? 'NO DATA') : `${series.length} series, at most ${round(most)}`;
    console.log(`${isBad ? 'BAD ' : 'good'}  ${by}: ${found}${isBad ? `\n      ${expr}` : ''}`);
  }
  console.log(`${queries.length} queries, ${bad} not as they should be`);
  return bad;
}

/** @param {Prometheus} prometheus @returns {Promise<number>} */
async function badAlerts(prometheus) {
  const alerts = await prometheus.alerts();
  const bad = alerts.filter(({ health }) => health !== 'ok');
  for (const { name, lastError } of bad) console.log(`BAD   ${name}: ${lastError ?? 'not evaluated'}`);
  const active = alerts.filter(({ state }) => state !== 'inactive').map(({ name, state }) => `${name} ${state}`);
  console.log(`${alerts.length} alerts evaluated, ${bad.length} with errors; active: ${active.join(', ') || 'none'}`);
  return bad.length;
}

/** @param {number} value */
function round(value) {
  return Number(value.toPrecision(3));
}
