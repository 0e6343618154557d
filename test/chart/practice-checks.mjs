// @ts-check
/** What others hold for good practice: kube-score, checkov, yamllint, hadolint. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXCEPTIONS } from './exceptions.mjs';
import { CHART, render, ROOT, shapes } from './render.mjs';
import { run } from './tools.mjs';

/** @typedef {import('./bench.mjs').Bench} Bench */
/** @typedef {{ rule: string, sentence: string }} Finding */

/** kube-score's grade of a check without a finding. */
const GOOD = 10;

/** @param {Bench} bench */
export async function kubeScore({ tools, report }) {
  const program = await tools.goProgram('kube-score');
  await withAllOutput(tools, async (files) => {
    await judge(report, 'kube-score', files, async (file) => {
      const args = ['score', '--kubernetes-version', 'v1.36', '--output-format', 'json', '--exit-one-on-warning', file];
      // It answers 1 where it finds something.
      const objects = JSON.parse(await run(program, args, { anyExit: true }));
      return objects.flatMap((/** @type {any} */ object) =>
        object.checks
          .filter((/** @type {any} */ { grade, skipped }) => !skipped && grade < GOOD)
          .map((/** @type {any} */ { check, comments }) => ({
            rule: check.id,
            sentence: `${object.object_name}: ${(comments ?? []).map((/** @type {any} */ comment) => comment.summary).join('; ')}`,
          })),
      );
    });
  });
}

/** @param {Bench} bench */
export async function checkov({ tools, report }) {
  const program = await tools.pythonProgram('checkov');
  await withAllOutput(tools, async (files) => {
    await judge(report, 'checkov', files, async (file) => {
      const args = ['--framework', 'kubernetes', '--file', file, '--compact', '--quiet', '--output', 'json'];
      const answer = JSON.parse(await run(program, [...args, '--skip-download'], { anyExit: true }));
      if (answer.results === undefined) throw new Error('checkov found no objects');
      return answer.results.failed_checks.map((/** @type {any} */ { check_id, check_name, resource }) => ({
        rule: check_id,
        sentence: `${resource}: ${check_name}`,
      }));
    });
  });
}

/** @param {Bench} bench */
export async function yamllint({ tools, report }) {
  const program = await tools.pythonProgram('yamllint');
  const config = join(ROOT, 'test/chart/yamllint.yaml');
  await report.check('T5 yamllint of what people write', async () => {
    const written = ['Chart.yaml', 'values.yaml', 'ci', 'tests', 'files'].map((name) => join(CHART, name));
    await run(program, ['--strict', '--config-file', config, ...written, join(ROOT, 'deploy/observability')]);
  });
  await withAllOutput(tools, async (files) => {
    await report.check('T5 yamllint of the output', async () => {
      await run(program, ['--strict', '--config-file', config, ...files]);
    });
  });
}

/** @param {Bench} bench */
export async function hadolint({ tools, report }) {
  const folder = join(ROOT, 'deploy');
  const files = readdirSync(folder).filter((name) => name.endsWith('.Dockerfile'));
  if (files.length === 0) {
    report.skip('T19 hadolint', 'there is no Dockerfile in deploy/');
    return;
  }
  const program = await tools.pythonProgram('hadolint');
  for (const file of files)
    await report.check(`T19 hadolint, ${file}`, async () => {
      await run(program, [join(folder, file)]);
    });
}

/**
 * One finding that is not excepted fails its file; an exception that no file needs fails as well.
 * @param {import('./report.mjs').Report} report
 * @param {keyof typeof EXCEPTIONS} tool
 * @param {readonly string[]} files
 * @param {(file: string) => Promise<Finding[]>} findings
 */
async function judge(report, tool, files, findings) {
  const excepted = EXCEPTIONS[tool];
  const needed = new Set();
  for (const file of files)
    await report.check(`T5 ${tool}, ${file.split('/').at(-1) ?? file}`, async () => {
      const all = await findings(file);
      for (const { rule } of all) needed.add(rule);
      const bad = all.filter(({ rule }) => !(rule in excepted));
      if (bad.length > 0) throw new Error(bad.map(({ rule, sentence }) => `${rule}  ${sentence}`).join('\n'));
    });
  await report.check(`T5 ${tool}: each exception is needed`, () => {
    const idle = Object.keys(excepted).filter((rule) => !needed.has(rule));
    if (idle.length > 0) throw new Error(`no object needs ${idle.join(', ')} any more`);
  });
}

/**
 * @param {import('./tools.mjs').Tools} tools
 * @param {(files: string[]) => Promise<void>} use of the output of every shape
 */
async function withAllOutput(tools, use) {
  const helm = await tools.goProgram('helm3');
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-chart-'));
  try {
    const files = [];
    for (const { shape, values } of shapes()) {
      const file = join(scratch, `${shape}.yaml`);
      writeFileSync(file, await render(helm, values));
      files.push(file);
    }
    await use(files);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
