import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BlockRunner } from '../documents/block-runner.ts';
import { pages } from '../documents/files.mjs';
import { readPage, type Block } from '../documents/page.mjs';
import { Runtimes } from '../sdks/clients.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Set by `npm run sdks`, which has the Python environments: then it is the blocks in Python that run. */
const { PENSTOCK_SDKS_PYTHON: python, PENSTOCK_SDKS_RUNTIMES: runtimes = '{}' } = process.env;
const RUN = python === undefined ? ['sh', 'js', 'ts'] : ['python'];
const MARKED = 'not-run';

const read = pages('.').map((file) => ({ file, blocks: readPage(file, readFileSync(file, 'utf8')).blocks }));
const toRun = read
  .map(({ file, blocks }) => ({ file, pairs: blocks.map((block, at) => [block, outputOf(blocks[at + 1])] as const) }))
  .map(({ file, pairs }) => [file, pairs.filter(([block]) => isRun(block))] as const)
  .filter(([, pairs]) => pairs.length > 0);

function isRun({ language, form }: Block): boolean {
  return RUN.includes(language) && form !== MARKED;
}

/** The block that shows the output of the one before it. */
function outputOf(next: Block | undefined): Block | undefined {
  return next !== undefined && next.isNext && ['json', 'text'].includes(next.language) ? next : undefined;
}

let stack: Stack | undefined;
let runner: BlockRunner | undefined;
beforeAll(async () => {
  stack = await startStack();
  const langchain = Runtimes.parse(JSON.parse(runtimes))['langchain']?.program;
  runner = new BlockRunner(stack, python === undefined ? undefined : { sdks: python, langchain });
}, 120_000);
afterAll(async () => {
  runner?.[Symbol.dispose]();
  await stack?.[Symbol.asyncDispose]();
  const marked = read.flatMap(({ blocks }) => blocks.filter(({ form }) => form === MARKED)).length;
  const run = toRun.flatMap(([, pairs]) => pairs).length;
  process.stdout.write(`blocks of the pages in ${RUN.join(', ')}: ${run} run; ${marked} are marked not-run\n`);
});

test('the pages are read, and a stack runs beside them', () => {
  expect(read.length).toBeGreaterThan(0);
  expect(stack?.url).toMatch(/^http/);
});

for (const [file, pairs] of toRun)
  test(`the blocks of ${file} run, and print what it shows`, async () => {
    const problems: string[] = [];
    for (const [block, expected] of pairs) {
      const problem = await runner?.run(block, expected);
      if (problem !== undefined) problems.push(problem);
    }
    expect(problems.join('\n')).toBe('');
  }, 600_000);
