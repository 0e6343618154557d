// @ts-check

/** All ends of a request; the first two are correct. @typedef {'complete' | 'error' | 'truncated' | 'duplicated' | 'hung'} End */

/**
 * @typedef {object} Row
 * @property {number} sent
 * @property {number} complete
 * @property {number} errors
 * @property {number} truncated
 * @property {number} duplicated
 * @property {number} hung
 * @property {number} stallMs longest gap between two pieces of a complete stream
 */

/**
 * Compares one answer with that of an undisturbed engine.
 * @param {import('./client.mjs').Seen} seen
 * @param {import('./questions.mjs').Expected} expected
 * @param {{ kind: string, wantsUsage: boolean }} question
 * @param {{ brokenIsError: boolean }} rules `brokenIsError`: the drill itself kills the process with the connections, so
 * that no process can send an error
 * @returns {{ end: End, why: string }}
 */
export function judge(seen, expected, question, { brokenIsError }) {
  const { status, text, done, errorTold, wrong, broken, timedOut, detail } = seen;
  if (timedOut)
    return { end: 'hung', why: `no end; status ${status}, ${text.length} of ${expected.text.length} characters` };
  // A piece is missing in the middle, so the text proves nothing.
  if (wrong.startsWith('not an event')) return { end: 'truncated', why: wrong };
  if (!expected.text.startsWith(text)) return { end: 'duplicated', why: difference(text, expected.text) };
  if (wrong !== '') return { end: 'truncated', why: wrong };
  if (broken !== '') return { end: brokenIsError ? 'error' : 'truncated', why: broken };
  if (errorTold)
    return done ? { end: 'truncated', why: `an error and [DONE]: ${detail}` } : { end: 'error', why: detail };
  if (status !== 200) return { end: 'truncated', why: `not told in the dialect: ${detail}` };
  if (!done) return { end: 'truncated', why: `ended without [DONE] after ${text.length} characters` };
  if (text !== expected.text)
    return { end: 'truncated', why: `whole, but ${text.length} of ${expected.text.length} characters` };
  const usage = wrongUsage(seen, expected, question);
  return usage === '' ? { end: 'complete', why: '' } : { end: 'truncated', why: usage };
}

/** Counts the ends of a drill's requests and keeps a sentence on each incorrect one. */
export class Ledger {
  /** @type {Row} */
  row = { sent: 0, complete: 0, errors: 0, truncated: 0, duplicated: 0, hung: 0, stallMs: 0 };
  /** @type {Map<string, number>} */
  #sentences = new Map();

  sent() {
    this.row.sent += 1;
  }

  /** @param {{ end: End, why: string }} judged @param {number} longestGapMs */
  ended({ end, why }, longestGapMs) {
    const { row } = this;
    if (end === 'complete') row.complete += 1;
    else if (end === 'error') row.errors += 1;
    else row[end] += 1;
    if (end === 'complete') row.stallMs = Math.max(row.stallMs, Math.round(longestGapMs));
    else this.#sentences.set(`${end}: ${why}`, (this.#sentences.get(`${end}: ${why}`) ?? 0) + 1);
  }

  /** Incomplete ends, most frequent first. */
  get sentences() {
    return [...this.#sentences].toSorted(([, a], [, b]) => b - a).map(([sentence, count]) => `${count} × ${sentence}`);
  }
}

/** Whether each request ended correctly. @param {Row} row */
export function isSound({ sent, complete, errors, truncated, duplicated, hung }) {
  return sent === complete + errors && truncated === 0 && duplicated === 0 && hung === 0;
}

/** @param {readonly Row[]} rows @returns {Row} */
export function sumOf(rows) {
  const sum = { sent: 0, complete: 0, errors: 0, truncated: 0, duplicated: 0, hung: 0, stallMs: 0 };
  for (const row of rows) {
    for (const name of /** @type {const} */ (['sent', 'complete', 'errors', 'truncated', 'duplicated', 'hung']))
      sum[name] += row[name];
    sum.stallMs = Math.max(sum.stallMs, row.stallMs);
  }
  return sum;
}

/** @param {string} text @param {string} expected */
function difference(text, expected) {
  let at = 0;
  while (text[at] === expected[at]) at += 1;
  return `at ${at}: ${JSON.stringify(text.slice(at, at + 40))} instead of ${JSON.stringify(expected.slice(at, at + 40))}`;
}

/**
 * Token counts must also be correct if several engines generated one answer.
 * @param {import('./client.mjs').Seen} seen @param {import('./questions.mjs').Expected} expected
 * @param {{ kind: string, wantsUsage: boolean }} question
 */
function wrongUsage({ usage }, expected, { kind, wantsUsage }) {
  if (kind === 'stream' && !wantsUsage) return usage === undefined ? '' : 'usage without a request for it';
  if (kind === 'score') return '';
  const told = `${usage?.prompt_tokens} + ${usage?.completion_tokens}`;
  const right = `${expected.usage.prompt_tokens} + ${expected.usage.completion_tokens}`;
  return told === right ? '' : `usage ${told} instead of ${right}`;
}
