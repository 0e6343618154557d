// @ts-check
/** Checks of common practice: kube-score, checkov, yamllint, hadolint. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
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
  await judge(tools, report, 'kube-score', async (_folder, files) => {
    const findings = [];
    for (const file of files) {
      const args = ['score', '--kubernetes-version', 'v1.36', '--output-format', 'json', '--exit-one-on-warning', file];
      // Its exit code is 1 if it finds something.
      for (const { object_name: name, checks } of JSON.parse(await run(program, args, { anyExit: true })))
        for (const { check, grade, skipped, comments } of checks)
          if (!skipped && grade < GOOD)
            findings.push({ rule: check.id, sentence: `${basename(file)} ${name}: ${comments?.[0]?.summary ?? ''}` });
    }
    return findings;
  });
}

/** @param {Bench} bench */
export async function checkov({ tools, report }) {
  const program = await tools.pythonProgram('checkov');
  await judge(tools, report, 'checkov', async (folder) => {
    const args = ['--framework', 'kubernetes', '--directory', folder, '--compact', '--quiet', '--output', 'json'];
    const answer = JSON.parse(await run(program, [...args, '--skip-download'], { anyExit: true }));
    if (answer.results === undefined) throw new Error('checkov found no objects');
    return answer.results.failed_checks.map((/** @type {any} */ { check_id, check_name, resource, file_path }) => ({
      rule: check_id,
      sentence: `${file_path} ${resource}: ${check_name}`,
    }));
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
  await withAllOutput(tools, async (_folder, files) => {
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
 * A finding without an exception fails, and so does an exception that no object needs.
 * @param {import('./tools.mjs').Tools} tools
 * @param {import('./report.mjs').Report} report
 * @param {keyof typeof EXCEPTIONS} tool
 * @param {(folder: string, files: readonly string[]) => Promise<Finding[]>} look at the output of every shape
 */
async function judge(tools, report, tool, look) {
  await withAllOutput(tools, async (folder, files) => {
    await report.check(`T5 ${tool}`, async () => {
      const excepted = EXCEPTIONS[tool];
      const found = await look(folder, files);
      const covered = (/** @type {Finding} */ { rule, sentence }) =>
        excepted[rule]?.only?.test(sentence) ?? rule in excepted;
      const bad = found.filter((finding) => !covered(finding));
      if (bad.length > 0) throw new Error(bad.map(({ rule, sentence }) => `${rule}  ${sentence}`).join('\n'));
      const idle = Object.keys(excepted).filter((name) => !found.some(({ rule }) => rule === name));
      if (idle.length > 0) throw new Error(`no object needs the exception of ${idle.join(', ')} any more`);
    });
  });
}

/**
 * @param {import('./tools.mjs').Tools} tools
 * @param {(folder: string, files: readonly string[]) => Promise<void>} use of the output of every shape
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
    await use(scratch, files);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
