// @ts-check
/** Alerts and dashboards: promtool reads every expression, and each alert has a test. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { objects, render, ROOT, shapes } from './render.mjs';
import { run } from './tools.mjs';

/** @typedef {import('./bench.mjs').Bench} Bench */

const FOLDER = join(ROOT, 'deploy/observability');

/** @param {Bench} bench */
export async function alertRules({ tools, report }) {
  const promtool = await tools.goProgram('promtool');
  const helm = await tools.goProgram('helm3');
  await report.check('T18 promtool check rules', async () => {
    await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', join(FOLDER, 'alerts.yaml')]);
  });
  await report.check('T18 promtool test rules', async () => {
    await run(promtool, ['test', 'rules', join(FOLDER, 'alerts.test.yaml')]);
  });
  await report.check('T18 each alert has a test that sees it fire, a severity and a runbook', () => {
    const { groups } = parse(readFileSync(join(FOLDER, 'alerts.yaml'), 'utf8'));
    const { tests } = parse(readFileSync(join(FOLDER, 'alerts.test.yaml'), 'utf8'));
    const fired = new Set(
      tests
        .flatMap((/** @type {any} */ test) => test.alert_rule_test)
        .filter((/** @type {any} */ { exp_alerts: alerts }) => alerts.length > 0)
        .map((/** @type {any} */ { alertname }) => alertname),
    );
    for (const { alert, labels, annotations, expr } of groups.flatMap((/** @type {any} */ group) => group.rules)) {
      if (!fired.has(alert)) throw new Error(`${alert} is never seen to fire`);
      if (!labels?.severity || !annotations?.summary || !annotations?.runbook) throw new Error(`${alert} lacks text`);
      if (!/[<>] [0-9.]+$/.test(expr)) throw new Error(`${alert} does not end in its threshold`);
    }
  });
  await report.check('T18 promtool check rules, as the chart renders them', async () => {
    const shape = shapes().find((known) => known.shape === 'monitoring');
    const rendered = objects(await render(helm, shape?.values ?? '')).find(({ kind }) => kind === 'PrometheusRule');
    await checkRules(promtool, rendered.spec);
  });
}

/** @param {Bench} bench */
export async function dashboards({ tools, report }) {
  const promtool = await tools.goProgram('promtool');
  const folder = join(FOLDER, 'dashboards');
  for (const file of readdirSync(folder))
    await report.check(`T18 queries of the dashboard ${file}`, async () => {
      const { panels } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
      const queries = panels.flatMap((/** @type {any} */ panel) => panel.targets.map((/** @type {any} */ t) => t.expr));
      const rules = queries.map((/** @type {string} */ query, /** @type {number} */ index) => ({
        record: `dashboard:query:q${String(index)}`,
        expr: query.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, '.*'),
      }));
      await checkRules(promtool, { groups: [{ name: 'dashboard', rules }] });
      return queries.length;
    });
}

/** @param {Bench} bench */
export async function metricNames({ report }) {
  await report.check('T18 alerts and dashboards ask for metrics that the programs have', () => {
    const sources = ['gateway/metrics.ts', 'worker-launcher/metrics.ts', 'worker-launcher/engine/exported-metrics.ts'];
    const code = sources.map((file) => readFileSync(join(ROOT, file), 'utf8')).join('\n');
    const boards = readdirSync(join(FOLDER, 'dashboards')).map((file) => join('dashboards', file));
    for (const file of ['alerts.yaml', ...boards])
      for (const [name] of readFileSync(join(FOLDER, file), 'utf8').matchAll(
        /\b(penstock_|gen_ai_[a-z]+_|vllm:)\w+/g,
      )) {
        const family = name.replace(/_(bucket|sum|count)$/, '');
        // Not metrics: OpenTelemetry's labels.
        if (['gen_ai_request_model', 'gen_ai_token_type'].includes(name)) continue;
        if (!code.includes(`'${family}'`)) throw new Error(`${file} asks for ${name}`);
      }
  });
}

/** @param {string} promtool @param {unknown} rules */
async function checkRules(promtool, rules) {
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-chart-'));
  try {
    const file = join(scratch, 'rules.yaml');
    writeFileSync(file, stringify(rules));
    await run(promtool, ['check', 'rules', '--lint=none', file]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
