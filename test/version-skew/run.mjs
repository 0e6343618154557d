// @ts-check
/**
 * `npm run version-skew [-- COMMIT]`: builds an older version of this repository and runs its programs together with those of
 * this one, in both combinations and during an upgrade. Without COMMIT it uses the last tag, or, if there is none,
 * `COMPARED`. Ends with `N passed, N failed`.
 */
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isSound, sumOf } from '../drill/ledger.mjs';
import { ROOT } from '../drill/processes.mjs';
import { startOracle } from '../drill/questions.mjs';
import { skewDrills } from './drills.mjs';

/** The last commit of 0.1, which has no tag. */
const COMPARED = 'bedaef3';
const REQUESTS = 60;
const execute = promisify(execFile);
/** @param {...string} args */
const git = async (...args) => (await execute('git', args, { cwd: ROOT })).stdout.trim();

// A failed drill may leave connections open.
process.exit(await main(process.argv[2]));

/** @param {string | undefined} asked */
async function main(asked) {
  const name = asked ?? (await git('describe', '--tags', '--abbrev=0').catch(() => COMPARED));
  const commit = await git('rev-parse', '--verify', `${name}^{commit}`).catch(() => undefined);
  if (commit === undefined) {
    console.log(`not run: no commit ${name} in this checkout's history (a shallow clone has none)`);
    console.log(`0 passed, ${asked === undefined ? 0 : 1} failed`);
    return asked === undefined ? 0 : 1;
  }
  const old = await built(commit);
  console.log(`old: ${commit.slice(0, 7)}, new: this checkout`);
  const oracle = await startOracle();
  let [passed, failed] = [0, 0];
  try {
    for (const drill of skewDrills(old, ROOT)) {
      const {
        row,
        failed: problems,
        sentences,
      } = await drill
        .run({ requests: REQUESTS, short: false, oracle })
        .catch((error) => ({ row: sumOf([]), failed: [String(error).slice(0, 2_000)], sentences: [] }));
      const isGood = problems.length === 0 && isSound(row);
      if (isGood) passed += 1;
      else failed += 1;
      console.log(`${isGood ? 'passed' : 'FAILED'}  ${drill.name}: ${row.complete} of ${row.sent} complete`);
      for (const text of isGood ? [] : [...problems, ...sentences.slice(0, 5)]) console.log(`    ${text}`);
    }
  } finally {
    await oracle.stop();
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** Unpacks, installs and compiles it, once. @param {string} commit @returns {Promise<string>} its root */
async function built(commit) {
  const root = join(ROOT, '.cache/version-skew', commit);
  // Last, because a compiler with errors writes files too.
  const record = join(root, 'built');
  if (existsSync(record)) return root;
  console.log(`building ${commit.slice(0, 7)} …`);
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const archive = join(root, 'source.tar');
  await git('archive', '--output', archive, commit);
  await execute('tar', ['-xf', archive, '-C', root]);
  await execute('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: root });
  await execute(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], { cwd: root });
  await writeFile(record, '');
  return root;
}
