// @ts-check
/**
 * `npm run chart`: all checks of charts/penstock that need no cluster. Installs its tools below `.cache/k8s-tools`
 * (or PENSTOCK_TOOLS); needs Go, Python 3 with venv, and their package registries the first time. `--update` writes the
 * golden output and the chart's README again. Arguments select checks: `npm run chart -- T1 T4`. The last line is
 * `N passed, N failed`.
 */
import { join } from 'node:path';
import { goldenOutput, lint, objectSchemas, readme, reproducible, unitTests, valuesOfPages } from './chart-checks.mjs';
import { alertRules, dashboards, metricNames } from './monitoring-checks.mjs';
import { checkov, hadolint, kubeScore, yamllint } from './practice-checks.mjs';
import { packagedCopies, programSettings } from './program-checks.mjs';
import { ROOT } from './render.mjs';
import { Report } from './report.mjs';
import { Tools, ToolUnavailable } from './tools.mjs';

/** @param {string} line */
const say = (line) => void process.stdout.write(`${line}\n`);

/** @type {Readonly<Record<string, (bench: import('./bench.mjs').Bench) => Promise<void>>>} */
const CHECKS = {
  T1: lint,
  T2: unitTests,
  T3: objectSchemas,
  T4: async (bench) => {
    await goldenOutput(bench);
    await readme(bench);
    await valuesOfPages(bench);
  },
  T5: async (bench) => {
    await kubeScore(bench);
    await checkov(bench);
    await yamllint(bench);
  },
  T18: async (bench) => {
    await metricNames(bench);
    await alertRules(bench);
    await dashboards(bench);
  },
  T19: hadolint,
  T20: reproducible,
  programs: async (bench) => {
    await programSettings(bench);
    await packagedCopies(bench);
  },
};

const HELP = `usage: npm run chart -- [CHECK …] [--update]

  CHECK      ${Object.keys(CHECKS).join(', ')}; none: all
  --update   write the golden output and the chart's README again
  --help     this text

Needs Go, Python 3 with venv, and their registries the first time, to build its tools below .cache/k8s-tools or
PENSTOCK_TOOLS. The last line is \`N passed, N failed\`.`;

if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const unknown = words.filter((word) => !(word in CHECKS));
if (unknown.length > 0) {
  process.stderr.write(`unknown check ${unknown.join(', ')}; the checks are ${Object.keys(CHECKS).join(', ')}\n`);
  process.exit(2);
}
const report = new Report(say);
const tools = new Tools(process.env['PENSTOCK_TOOLS'] ?? join(ROOT, '.cache/k8s-tools'), say);
for (const [name, check] of Object.entries(CHECKS)) {
  if (words.length > 0 && !words.includes(name)) continue;
  try {
    await check({ tools, report, update: process.argv.includes('--update') });
  } catch (error) {
    if (error instanceof ToolUnavailable) report.skip(name, error.message);
    else
      await report.check(name, () => {
        throw error;
      });
  }
}
if (report.notRun.length > 0) say(`not run:\n${report.notRun.map((line) => `  ${line}`).join('\n')}`);
say(`${report.passed} passed, ${report.failed} failed`);
process.exitCode = report.failed > 0 ? 1 : 0;
