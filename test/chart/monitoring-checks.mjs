// @ts-check
/** Alerts and dashboards: promtool reads every expression and runs the alerts' tests. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { prometheusPrograms } from '../observability/prometheus.mjs';
import { monitoringProblems } from './monitoring-problems.mjs';
import { objects, render, ROOT, shapes } from './render.mjs';
import { run } from './tools.mjs';

/** @typedef {import('./bench.mjs').Bench} Bench */

const FOLDER = join(ROOT, 'deploy/observability');

/** @param {Bench} bench */
export async function alertRules({ tools, report }) {
  const promtool = await promtoolOf(tools);
  const helm = await tools.goProgram('helm3');
  await report.check('T18 promtool check rules', async () => {
    await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', join(FOLDER, 'alerts.yaml')]);
  });
  await report.check('T18 promtool test rules', async () => {
    await run(promtool, ['test', 'rules', join(FOLDER, 'alerts.test.yaml')]);
  });
  await report.check('T18 promtool check rules, as the chart renders them', async () => {
    const shape = shapes().find((known) => known.shape === 'monitoring');
    const rendered = objects(await render(helm, shape?.values ?? '')).find(({ kind }) => kind === 'PrometheusRule');
    await checkRules(promtool, rendered.spec);
  });
}

/** @param {Bench} bench */
export async function dashboards({ tools, report }) {
  const promtool = await promtoolOf(tools);
  const folder = join(FOLDER, 'dashboards');
  for (const file of readdirSync(folder))
    await report.check(`T18 queries of the dashboard ${file}`, async () => {
      const { panels } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
      const queries = panels.flatMap((/** @type {any} */ panel) => panel.targets.map((/** @type {any} */ t) => t.expr));
      const rules = queries.map((/** @type {string} */ query, /** @type {number} */ index) => ({
        record: `dashboard:query:q${index}`,
        expr: query.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, '.*'),
      }));
      await checkRules(promtool, { groups: [{ name: 'dashboard', rules }] });
      return queries.length;
    });
}

/** Debian's package comes within seconds, and a build within minutes. @param {Bench['tools']} tools */
async function promtoolOf(tools) {
  return prometheusPrograms()?.promtool ?? (await tools.goProgram('promtool'));
}

/** @param {Bench} bench */
export async function metricNames({ report }) {
  await report.check('T18 alerts, their tests and dashboards fit the metrics that the programs have', () => {
    const problems = monitoringProblems();
    if (problems.length > 0) throw new Error(problems.join('\n'));
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
