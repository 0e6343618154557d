// @ts-check
import { CODE } from './page.mjs';

/**
 * The comments of a program in TypeScript or JavaScript, each part of its own: the text before the first tag, and each tag.
 * Lines of `//` in a row are one comment.
 * @param {string} source
 * @returns {import('./page.mjs').Prose[]}
 */
export function commentsIn(source) {
  return [...source.matchAll(/\/\*\*[^]*?\*\/|(?:^[ \t]*\/\/.*\n)+/gm)].flatMap(({ 0: comment, index }) => {
    const lines = comment
      .split('\n')
      .map((line) => line.replace(/^\s*(?:\/\*\*|\*\/|\*|\/\/)/, '').replace(/\*\/$/, ''));
    const first = source.slice(0, index).split('\n').length;
    /** @type {{ text: string, line: number }[]} */
    const parts = [];
    for (const [at, line] of lines.entries()) {
      const tag = /^\s*@\w+ (?:\{[^}]*\} )?(?:\[?\w+\]? )?/.exec(line);
      const isNew = parts.length === 0 || tag !== null || line.trim() === '';
      if (isNew) parts.push({ text: '', line: first + at });
      const last = parts.at(-1);
      if (last !== undefined) last.text += ` ${line.slice(tag?.[0].length ?? 0).trim()}`;
    }
    return parts.map(({ text, line }) => ({ text: text.replaceAll(/`[^`]*`/g, CODE).trim(), line }));
  });
}
