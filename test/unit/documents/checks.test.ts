import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pageProblems, sourceProblems } from '../../documents/checks.mjs';
import { readPage } from '../../documents/page.mjs';
import { bannedIn, sentencesOf, wordsIn } from '../../documents/wording.mjs';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-documents-'));
  writeFileSync(join(folder, 'other.md'), '# One\n\n# Two `x`: y, z\n\n# One\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What is wrong with a page of this text. */
function problemsOf(text: string): string[] {
  writeFileSync(join(folder, 'page.md'), text);
  return pageProblems(folder, ['page.md']).map((line) => line.replace('page.md:', ''));
}
const words = (count: number): string => `${'word '.repeat(count - 1)}end.`;

test.each([
  ['[a](other.md) [b](other.md#two-x-y-z) [c](other.md#one-1) [d](#here) [e](https://x.example/#y)\n\n# Here', []],
  ['[a](none.md)', ['1: link none.md: there is no none.md']],
  ['![a](none.svg)', ['1: link none.svg: there is no none.svg']],
  ['<img src="none.svg">', ['1: link none.svg: there is no none.svg']],
  ['\n[a](other.md#three)', ['2: link other.md#three: other.md has no heading three']],
  ['[a](/other.md)', ['1: link /other.md: write it relative to this page']],
  ['`gateway/none.ts`, `none.ts`, `dist/gateway/none.js`', ['1: there is no file gateway/none.ts']],
  ['[a](../other.md)', ['1: link ../other.md: there is no ../other.md']],
])('the links of %j', (text, problems) => expect(problemsOf(text)).toEqual(problems));

test.each([
  ['```sh\nls\n```', []],
  ['```\nls\n```', [expect.stringContaining('without a language')]],
  ['    ls', ['1: indented code: fence it, with its language']],
  ['```ruby\nls\n```', [expect.stringContaining('a block in ruby: known are')]],
  ['```yaml value\na: 1\n```', [expect.stringContaining('known are yaml, yaml values')]],
  ['```yaml\na: [\n```', [expect.stringContaining('cannot be parsed')]],
  ['```json\n{"a": }\n```', [expect.stringContaining('cannot be parsed')]],
  ['```json\n{"a": …}\n```', []],
  ['```sh not-run\nls\n```', [expect.stringContaining('is not run')]],
  ['Build it. Not run by a test: needs Docker.\n\n```sh not-run\nls\n```', []],
  ['Not run by a test: needs Docker.\n\n# A\n\n```sh not-run\nls\n```', [expect.stringContaining('is not run')]],
])('the block %j', (text, problems) => expect(problemsOf(text)).toEqual(problems));

test.each([
  [words(25), []],
  [`- a\n- ${words(26)}`, [expect.stringMatching(/^2: a sentence of 26 words, at most 25: word/)]],
  [`| a |\n| - |\n| ${words(26)} |`, [expect.stringMatching(/^3: a sentence of 26 words/)]],
  [`# ${words(26)}`, []],
  [`${words(25)} ${words(25)}`, []],
  [`${words(24).replace('.', '')}, \`a b c d\`.`, []],
  ['It ends at once.', ['1: "at once": write immediately, or at the same time']],
  ['`at once`', []],
])('the sentences of %j', (text, problems) => expect(problemsOf(text)).toEqual(problems));

test('a sentence ends at its mark, not inside a number, a name or a short form', () => {
  expect(sentencesOf('It took 1.5 s, e.g. with config.ts. "Why?" (So!) Done')).toEqual([
    'It took 1.5 s, e.g. with config.ts.',
    '"Why?"',
    '(So!)',
    'Done',
  ]);
  expect(wordsIn('a – b, 3 → `…`')).toBe(4);
});

test('a banned turn is found across the lines of a comment, in any case, and only as whole words', () => {
  expect(bannedIn('/**\n * Stops at\n * once.\n */')).toEqual([
    { line: 2, problem: expect.stringContaining('at * once') },
  ]);
  expect(bannedIn('Whoever calls')).toHaveLength(1);
  expect(bannedIn('that oncedelay, what-of, one of which, NOBODY')).toEqual([]);
  writeFileSync(join(folder, 'a.ts'), '\n// whoever\n');
  expect(sourceProblems(folder, ['a.ts'])).toEqual([expect.stringMatching(/^a\.ts:2: "whoever": write /)]);
});

test('a sentence of a comment has at most 30 words, each tag by itself', () => {
  const long = Array.from({ length: 31 }, () => 'word').join(' ');
  writeFileSync(join(folder, 'b.ts'), `/** ${long} */\n/**\n * ${long.slice(0, 60)}\n * @param one ${long}\n */\n`);
  expect(sourceProblems(folder, ['b.ts']).map((line) => line.split(',')[0])).toEqual([
    'b.ts:1: a sentence of 31 words',
    'b.ts:4: a sentence of 31 words',
  ]);
  writeFileSync(join(folder, 'c.ts'), `  // ${long.slice(0, 80)}\n  // ${long.slice(0, 80)}\nconst a = 1;\n`);
  expect(sourceProblems(folder, ['c.ts']).map((line) => line.split(',')[0])).toEqual([
    'c.ts:1: a sentence of 32 words',
  ]);
});

test('a page tells its blocks, in order, with what stands before each', () => {
  const { blocks } = readPage('p.md', 'Run it:\n\n```sh\nls\n```\n\n```text\na\n```\n\nAnd:\n\n```json\n1\n```\n');
  expect(blocks.map(({ language, line, before, isNext }) => [language, line, before, isNext])).toEqual([
    ['sh', 3, 'Run it:', false],
    ['text', 7, '', true],
    ['json', 13, 'And:', false],
  ]);
});
