// @ts-check
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { blockProblems } from './block-forms.mjs';
import { commentsIn } from './comments.mjs';
import { readPage } from './page.mjs';
import { bannedIn, tooLongIn } from './wording.mjs';

/** @typedef {import('./page.mjs').Page} Page */

/** Code that names a file of the repository from its root on. */
const PATH = /^(?:gateway|worker-launcher|deploy|test|charts)\/[\w./-]+$/;

/**
 * All that is wrong with the pages: their links, their blocks of code, their sentences.
 * @param {string} root
 * @param {readonly string[]} files pages, relative to it
 * @returns {string[]} lines `file:line: what is wrong, and what to write instead`
 */
export function pageProblems(root, files) {
  /** @type {Map<string, Page>} */
  const read = new Map();
  /** @param {string} file */
  const pageOf = (file) => {
    const page = read.get(file) ?? readPage(file, readFileSync(join(root, file), 'utf8'));
    read.set(file, page);
    return page;
  };
  return files.flatMap((file) => {
    const page = pageOf(file);
    return [
      ...page.indented.map((line) => ({ line, problem: 'indented code: fence it, with its language' })),
      ...page.links.flatMap(({ target, line }) => {
        const problem = linkProblem(root, file, target, pageOf);
        return problem === undefined ? [] : [{ line, problem }];
      }),
      ...page.spans
        .filter(({ text }) => PATH.test(text) && !existsSync(join(root, text)))
        .map(({ text, line }) => ({ line, problem: `there is no file ${text}` })),
      ...page.blocks.flatMap((block) => blockProblems(block).map((problem) => ({ line: block.line, problem }))),
      ...page.prose.flatMap(({ text, line }) =>
        [...tooLongIn(text, 'page'), ...bannedIn(text).map(({ problem }) => problem)].map((problem) => ({
          line,
          problem,
        })),
      ),
    ].map(({ line, problem }) => `${file}:${line}: ${problem}`);
  });
}

/**
 * Banned turns in programs, their messages included, and long sentences in comments of TypeScript and JavaScript.
 * @param {string} root
 * @param {readonly string[]} files relative to it
 * @returns {string[]} lines `file:line: what is wrong, and what to write instead`
 */
export function sourceProblems(root, files) {
  return files.flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const comments = /\.(ts|mjs)$/.test(file) ? commentsIn(text) : [];
    return [
      ...bannedIn(text),
      ...comments.flatMap((one) => tooLongIn(one.text, 'comment').map((problem) => ({ line: one.line, problem }))),
    ].map(({ line, problem }) => `${file}:${line}: ${problem}`);
  });
}

/**
 * @param {string} root @param {string} file @param {string} target @param {(file: string) => Page} pageOf
 * @returns {string | undefined}
 */
function linkProblem(root, file, target, pageOf) {
  if (/^(https?|mailto):/.test(target)) return undefined;
  const [path = '', anchor] = decodeURIComponent(target).split('#');
  if (path.startsWith('/')) return `link ${target}: write it relative to this page`;
  const linked = path === '' ? file : normalize(join(dirname(file), path)).replace(/\/$/, '');
  if (linked.startsWith('..') || !existsSync(join(root, linked))) return `link ${target}: there is no ${linked}`;
  if (anchor === undefined) return undefined;
  if (!linked.endsWith('.md') || statSync(join(root, linked)).isDirectory())
    return /^L\d+$/.test(anchor) ? undefined : `link ${target}: only pages have such an anchor`;
  return pageOf(linked).anchors.has(anchor) ? undefined : `link ${target}: ${linked} has no heading ${anchor}`;
}
