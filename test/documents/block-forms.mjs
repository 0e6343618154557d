// @ts-check
import { parse, parseAllDocuments } from 'yaml';

/**
 * The languages that a block may have, each with the words that may follow: a plain block, and what else it may be.
 * `not-run` marks what needs more than a page's test has; a sentence right before the block says what.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const FORMS = {
  sh: ['', 'not-run'],
  ts: ['', 'not-run'],
  js: ['', 'not-run'],
  python: ['', 'not-run'],
  powershell: ['not-run'],
  json: [''],
  text: [''],
  yaml: ['', 'values', 'keys', 'identity', 'card'],
  mermaid: [''],
  nginx: [''],
  caddyfile: [''],
  ini: [''],
  promql: [''],
};
const NOT_RUN = /\b(?:Not run by a test|Run by `…` only): needs [^.]+\.$/;
const ELLIPSIS = '…';

/**
 * What is wrong with a block before anything runs.
 * @param {import('./page.mjs').Block} block
 * @returns {string[]}
 */
export function blockProblems({ language, form, text, before }) {
  const forms = FORMS[language];
  if (language === '') return ['a block without a language: write sh, json, text, … after its first fence'];
  if (forms === undefined) return [`a block in ${language}: known are ${Object.keys(FORMS).join(', ')}`];
  if (!forms.includes(form))
    return [`a block ${language} ${form}: known are ${forms.map((one) => `${language} ${one}`.trim()).join(', ')}`];
  if (form === 'not-run' && !NOT_RUN.test(before))
    return [
      'a block that is not run: end the paragraph before it with "Not run by a test: needs <what>.", or "Run by <command> only: needs <what>."',
    ];
  if (language === 'json' && !text.includes(ELLIPSIS)) return parsed(() => JSON.parse(text));
  if (language === 'yaml') return parsed(() => parseAllDocuments(text).map((one) => parse(String(one))));
  return [];
}

/** @param {() => unknown} parse @returns {string[]} */
function parsed(parse) {
  try {
    parse();
    return [];
  } catch (error) {
    return [`a block that cannot be parsed: ${String(error).split('\n')[0]}`];
  }
}
