// @ts-check
/** `npm run documents`: all that can be checked of pages, comments and messages without running anything. */
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pageProblems, sourceProblems } from './checks.mjs';
import { pages, sources } from './files.mjs';
import { isPending } from './pending.mjs';

const HELP = `usage: npm run documents -- [FILE...]

Checks links, blocks of code, long sentences and banned turns of all pages, and banned turns in comments and messages of the
programs. With files or folders it checks only these. It prints one line per problem and ends with 1 if there is one.

  --help   this text`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { values, positionals } = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } });
process.exitCode = values.help === true ? help() : check(positionals.map((file) => relative(ROOT, resolve(file))));

function help() {
  console.log(HELP);
  return 0;
}

/** @param {readonly string[]} named files and folders, or none for all that are not pending */
function check(named) {
  /** @param {string} file */
  const isNamed = (file) => named.some((one) => file === one || file.startsWith(`${one}/`));
  /** @param {string} file */
  const isChecked = (file) => (named.length > 0 ? isNamed(file) : !isPending(file));
  const [texts, programs] = [pages(ROOT).filter(isChecked), sources(ROOT).filter(isChecked)];
  const problems = [...pageProblems(ROOT, texts), ...sourceProblems(ROOT, programs)];
  for (const problem of problems) console.log(problem);
  console.log(`${texts.length} pages, ${programs.length} files of programs, ${problems.length} problems`);
  return problems.length > 0 ? 1 : 0;
}
