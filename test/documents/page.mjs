// @ts-check
import MarkdownIt from 'markdown-it';

/**
 * One page of Markdown, as the checks and the runner need it. Lines count from 1.
 *
 * @typedef {object} Block a fenced block of code
 * @property {string} page its file
 * @property {string} language first word of its info string
 * @property {string} form the other words, such as `not-run`
 * @property {string} text
 * @property {number} line
 * @property {string} before text of the paragraph right before it, or ''
 * @property {boolean} isNext whether the block before it ends right before this one
 *
 * @typedef {{ text: string, line: number }} Prose a paragraph, list item or table cell; a code span is one `CODE`
 * @typedef {{ target: string, line: number }} Link of a link or an image
 *
 * @typedef {object} Page
 * @property {readonly Block[]} blocks
 * @property {readonly Prose[]} prose
 * @property {readonly Link[]} links
 * @property {readonly Prose[]} spans code within a line
 * @property {ReadonlySet<string>} anchors
 * @property {readonly number[]} indented lines of code that is indented instead of fenced
 *
 * @typedef {import('markdown-it').Token} Token
 */

export const CODE = '`…`';
const markdown = new MarkdownIt({ html: true });

/**
 * @param {string} file name that its blocks get
 * @param {string} text
 * @returns {Page}
 */
export function readPage(file, text) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {Prose[]} */
  const prose = [];
  /** @type {Link[]} */
  const links = [];
  /** @type {Prose[]} */
  const spans = [];
  /** @type {Set<string>} */
  const anchors = new Set();
  /** @type {number[]} */
  const indented = [];
  const tokens = markdown.parse(text, {});
  let line = 1;
  let isHeading = false;
  let paragraph = '';
  let afterFence = false;
  for (const [index, token] of tokens.entries()) {
    if (token.map !== null) line = token.map[0] + 1;
    if (token.type === 'heading_open') isHeading = true;
    if (token.type === 'heading_close') isHeading = false;
    if (token.type === 'code_block') indented.push(line);
    if (token.type === 'fence') {
      const [language = '', ...form] = token.info.trim().split(/\s+/);
      const before = tokens[index - 1]?.type === 'paragraph_close' ? paragraph : '';
      const isNext = afterFence && tokens[index - 1]?.type === 'fence';
      blocks.push({ page: file, language, form: form.join(' '), text: token.content, line, before, isNext });
      afterFence = true;
    } else if (token.type !== 'inline') afterFence = false;
    if (token.type === 'html_block') links.push(...linksOfHtml(token.content, line));
    if (token.type !== 'inline') continue;
    const words = textOf(token);
    links.push(...linksOf(token, line));
    for (const { type, content } of token.children ?? [])
      if (type === 'code_inline') spans.push({ text: content, line });
    if (isHeading) anchors.add(anchorOf(plainText(token), anchors));
    else {
      paragraph = words;
      prose.push({ text: words, line });
    }
  }
  for (const [, name = ''] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(name);
  return { blocks, prose, links, spans, anchors, indented };
}

/** Words as a reader sees them; a code span is one word, a break ends a sentence. @param {Token} inline */
function textOf(inline) {
  return (inline.children ?? [])
    .map(({ type, content }) => {
      if (type === 'code_inline') return CODE;
      if (type === 'softbreak') return ' ';
      if (type === 'hardbreak') return '\n';
      if (type === 'html_inline') return /^<br\b/.test(content) ? '\n' : '';
      return type === 'text' ? content : '';
    })
    .join('');
}

/** @param {Token} inline */
function plainText(inline) {
  return (inline.children ?? [])
    .filter(({ type }) => type === 'text' || type === 'code_inline')
    .map(({ content }) => content)
    .join('');
}

/** @param {Token} inline @param {number} line @returns {Link[]} */
function linksOf(inline, line) {
  return (inline.children ?? []).flatMap((child) => {
    if (child.type === 'html_inline') return linksOfHtml(child.content, line);
    const target =
      child.type === 'link_open' ? child.attrGet('href') : child.type === 'image' ? child.attrGet('src') : null;
    return target === null ? [] : [{ target: String(target), line }];
  });
}

/** @param {string} html @param {number} line @returns {Link[]} */
function linksOfHtml(html, line) {
  return [...html.matchAll(/\b(?:href|src)="([^"]*)"/g)].map(([, target = '']) => ({ target, line }));
}

/** As GitHub and GitLab make it of a heading. @param {string} heading @param {ReadonlySet<string>} taken */
function anchorOf(heading, taken) {
  const anchor = heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
  for (let n = 0; ; n += 1) {
    const name = n === 0 ? anchor : `${anchor}-${n}`;
    if (!taken.has(name)) return name;
  }
}
