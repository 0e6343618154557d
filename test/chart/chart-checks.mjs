// @ts-check
/** The chart itself: lint, unit tests, schemas of the objects, kept output, README, package. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import prettier from 'prettier';
import { pages } from '../documents/files.mjs';
import { readPage } from '../documents/page.mjs';
import { CHART, KUBERNETES, objects, render, ROOT, shapes } from './render.mjs';
import { locations, schemas } from './schemas.mjs';
import { KUBERNETES_VERSIONS, run } from './tools.mjs';

/** @typedef {import('./bench.mjs').Bench} Bench */

const GOLDEN = join(ROOT, 'test/chart/golden');

/** @param {Bench} bench */
export async function lint({ tools, report }) {
  for (const helm of ['helm3', 'helm4']) {
    const program = await tools.goProgram(helm);
    for (const { shape, values } of shapes())
      await report.check(`T1 ${helm} lint --strict, ${shape}`, async () => {
        await run(program, ['lint', '--strict', '--quiet', '--kube-version', KUBERNETES, CHART, '-f', values]);
      });
  }
}

/** @param {Bench} bench */
export async function unitTests({ tools, report }) {
  const program = await tools.goProgram('helm-unittest');
  await report.check('T2 helm-unittest', async () => {
    const output = await run(program, ['--strict', CHART]);
    const passed = Number(/^Tests: +(\d+) passed/m.exec(output)?.[1] ?? 0);
    if (passed === 0) throw new Error(output);
    return passed;
  });
}

/** @param {Bench} bench */
export async function objectSchemas({ tools, report }) {
  const helm = await tools.goProgram('helm3');
  const program = await tools.goProgram('kubeconform');
  const folder = await schemas(tools, KUBERNETES_VERSIONS);
  for (const { shape, values } of shapes()) {
    const manifests = await render(helm, values);
    for (const version of KUBERNETES_VERSIONS)
      await report.check(`T3 objects are valid for Kubernetes ${version}, ${shape}`, async () => {
        const args = ['-strict', '-summary', '-kubernetes-version', version, ...locations(folder)];
        const output = await run(program, args, { input: manifests });
        if (!/Invalid: 0, Errors: 0, Skipped: 0/.test(output)) throw new Error(output);
      });
  }
}

/** @param {Bench} bench */
export async function goldenOutput({ tools, report, update }) {
  const [helm3, helm4] = [await tools.goProgram('helm3'), await tools.goProgram('helm4')];
  mkdirSync(GOLDEN, { recursive: true });
  for (const { shape, values } of shapes())
    await report.check(`T4 output is as kept, and the same from both helms, ${shape}`, async () => {
      const kept = join(GOLDEN, `${shape}.yaml`);
      const manifests = await render(helm3, values);
      if (update) writeFileSync(kept, manifests);
      same(existsSync(kept) ? readFileSync(kept, 'utf8') : '', manifests, `${kept} (npm run chart -- --update T4)`);
      // Only blank lines may differ between them.
      if (!isDeepStrictEqual(objects(await render(helm4, values)), objects(manifests)))
        throw new Error('helm 4 renders other objects than helm 3, or the same ones in another order');
    });
  await report.check('T4 no output is kept of a shape that is gone', () => {
    const known = shapes().map(({ shape }) => `${shape}.yaml`);
    const stale = readdirSync(GOLDEN).filter((file) => !known.includes(file));
    if (stale.length > 0) throw new Error(stale.join(', '));
  });
}

/** @param {Bench} bench */
export async function readme({ tools, report, update }) {
  const program = await tools.goProgram('helm-docs');
  await report.check("T4 the README says what the values' comments say, for each", async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'penstock-chart-'));
    try {
      cpSync(CHART, scratch, { recursive: true });
      await run(program, ['--chart-search-root', scratch, '--log-level', 'warning']);
      const path = join(CHART, 'README.md');
      const style = { ...(await prettier.resolveConfig(path)), filepath: path };
      const made = await prettier.format(readFileSync(join(scratch, 'README.md'), 'utf8'), style);
      if (update) writeFileSync(path, made);
      same(readFileSync(path, 'utf8'), made, `${path} (npm run chart -- --update T4)`);
      const silent = made.split('\n').filter((line) => /^\|.*\| +\|$/.test(line));
      if (silent.length > 0) throw new Error(`values without a comment:\n${silent.join('\n')}`);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** Blocks `yaml values` of the pages. @param {Bench} bench */
export async function valuesOfPages({ tools, report }) {
  const helm = await tools.goProgram('helm3');
  const blocks = pages(ROOT)
    .flatMap((file) => readPage(file, readFileSync(join(ROOT, file), 'utf8')).blocks)
    .filter(({ language, form }) => language === 'yaml' && form === 'values');
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-chart-'));
  try {
    for (const { page, line, text } of blocks)
      await report.check(`T4 the chart renders the values of ${page}:${line}`, async () => {
        const file = join(scratch, 'values.yaml');
        writeFileSync(file, text);
        objects(await render(helm, file));
      });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {Bench} bench */
export async function reproducible({ tools, report }) {
  const helm = await tools.goProgram('helm3');
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-chart-'));
  try {
    await report.check('T20 packaging twice gives the same content', async () => {
      const contents = [];
      for (const part of ['first', 'second']) {
        await run(helm, ['package', CHART, '--destination', join(scratch, part)]);
        await run('tar', ['-xzf', archiveIn(join(scratch, part)), '-C', join(scratch, part)]);
        contents.push(digest(join(scratch, part, 'penstock')));
      }
      same(String(contents[1]), String(contents[0]), 'the second package');
    });
    await report.check('T20 the package lints and has all that the chart needs', async () => {
      const { values } = shapes()[0] ?? { values: '' };
      const archive = archiveIn(join(scratch, 'first'));
      await run(helm, ['lint', '--strict', '--quiet', '--kube-version', KUBERNETES, archive, '-f', values]);
      const about = ['--namespace', 'penstock', '--kube-version', KUBERNETES, '-f', values];
      same(await run(helm, ['template', 'shape', archive, ...about]), await render(helm, values), 'its output');
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {string} folder */
function archiveIn(folder) {
  const file = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  if (file === undefined) throw new Error(`no package in ${folder}`);
  return join(folder, file);
}

/** @param {string} folder */
function digest(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path.slice(folder.length)} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`)
    .join('\n');
}

/** @param {string} found @param {string} wanted @param {string} what */
function same(found, wanted, what) {
  if (found === wanted) return;
  const [left, right] = [found.split('\n'), wanted.split('\n')];
  const at = left.findIndex((line, index) => line !== right[index]);
  const line = at < 0 ? left.length : at;
  throw new Error(`${what} differs from line ${line + 1} on:\n- ${left[line] ?? '(end)'}\n+ ${right[line] ?? '(end)'}`);
}
