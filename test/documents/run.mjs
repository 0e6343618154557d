// @ts-check
/** `npm run documents`: pages, comments and messages; their language, links and generated regions, and every command. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pageProblems, sourceProblems } from './checks.mjs';
import { pages, sources } from './files.mjs';
import { regionContents } from './programs.mjs';
import { stalePages } from './regions.mjs';

const HELP = `usage: npm run documents -- [--update] [FILE...]

Checks the links, blocks of code, sentences and generated regions of all pages, and the comments and messages of the programs.
It prints one line per problem. Then it runs the blocks of code beside a real stack and compares what they print. Blocks in
Python run in npm run sdks, values of the chart in npm run chart. The exit code is 1 if anything is wrong.

  FILE      check only these files and folders; run nothing
  --update  first fill the generated regions of all pages (settings, metrics); run nothing
  --help    this text`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { update: { type: 'boolean' }, help: { type: 'boolean' } },
});
process.exitCode = await main();

async function main() {
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  const update = values.update === true;
  const named = positionals.map((file) => relative(ROOT, resolve(file)));
  const code = check(named, await regionProblems(update));
  return update || named.length > 0 ? code : Math.max(code, runBlocks());
}

/** @returns {number} exit code */
function runBlocks() {
  const args = [join(ROOT, 'test/run.mjs'), 'test/e2e/documents'];
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }).status ?? 1;
}

/** @param {boolean} update write what is missing @returns {Promise<string[]>} */
async function regionProblems(update) {
  /** @param {string} file */
  const compiled = (file) => import(join(ROOT, 'dist', file));
  const contents = regionContents(ROOT, {
    gatewayConfig: await compiled('gateway/config.js'),
    gatewayMetrics: await compiled('gateway/metrics.js'),
    workerConfig: await compiled('worker-launcher/config.js'),
    launcherMetrics: await compiled('worker-launcher/metrics.js'),
    redisWatch: await compiled('gateway/runtime/redis-watch.js'),
    traceSettings: await compiled('gateway/runtime/trace-settings.js'),
  });
  const stale = await stalePages(ROOT, pages(ROOT), contents);
  if (update) for (const { file, wanted } of stale) writeFileSync(join(ROOT, file), wanted);
  const how = 'a generated region is not as the programs are: npm run documents -- --update';
  return update ? [] : stale.map(({ file }) => `${file}: ${how}`);
}

/**
 * @param {readonly string[]} named files and folders, or none for all
 * @param {readonly string[]} known problems
 */
function check(named, known) {
  /** @param {string} file */
  const isNamed = (file) => named.some((one) => file === one || file.startsWith(`${one}/`));
  /** @param {string} file */
  const isChecked = (file) => named.length === 0 || isNamed(file);
  const [texts, programs] = [pages(ROOT).filter(isChecked), sources(ROOT).filter(isChecked)];
  const problems = [...known, ...pageProblems(ROOT, texts), ...sourceProblems(ROOT, programs)];
  for (const problem of problems) console.log(problem);
  console.log(`${texts.length} pages, ${programs.length} files of programs, ${problems.length} problems`);
  return problems.length > 0 ? 1 : 0;
}
