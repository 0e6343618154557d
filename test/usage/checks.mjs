// @ts-check
import { latenessMs } from '../drill/processes.mjs';
import { KEYS } from './callers.mjs';
import { sumOf } from './trial.mjs';

/** @typedef {import('./trial.mjs').Taken} Taken @typedef {import('./trial.mjs').Check} Check @typedef {import('./engine-ledger.mjs').Made} Made */

/** Largest differences, as shares: all tokens; time in slots without and with kills. */
const TOKENS = 0.02;
const SLOTS = { calm: 0.01, killed: 0.03 };
/** An answer may end at the engine in the moment in which its dispatcher is killed or its client leaves. */
const JUST_ENDED = 0.01;
/** So few requests are the short form. */
const FEW = 400;

/**
 * Without faults every count is exact.
 * @param {Taken} taken @param {number} sent
 * @returns {Check[]}
 */
export function calmChecks({ usage, byKey, made }, sent) {
  const responses = made.filter(({ request }) => request === undefined);
  const others = made.filter(({ request }) => request !== undefined);
  const counted = byKey.get('responses') ?? sumOf([]);
  const rest = sumOf(KEYS.filter((key) => key !== 'responses').map((key) => byKey.get(key) ?? sumOf([])));
  return [
    equal('requests', usage.requests, sent),
    equal('prompt tokens of chat, completions and /score', rest.prompt_tokens, sum(others, 'prompt')),
    equal('picture tokens of them', rest.picture_tokens, sum(others, 'pictures')),
    equal('answer tokens of them', rest.answer_tokens, sum(others, 'made')),
    equal('prompt tokens of responses', counted.prompt_tokens, sum(responses, 'prompt')),
    equal('answer tokens of responses', counted.answer_tokens, sum(responses, 'made')),
    equal('partial, repeated and refused', usage.partial_tokens + usage.repeated_attempts + usage.refusals, 0),
    slotSeconds(usage.slot_ms, made, SLOTS.calm),
  ];
}

/**
 * @param {Taken} taken @param {{ sent: number, unanswered: number }} load @param {ReadonlySet<string>} claimed requests that gateways logged as taken
 * @param {number} loss factor of the limits for a load of which kills lose a larger share; 1: the full load
 * @returns {Check[]}
 */
export function killedChecks({ usage, made, notes }, { sent, unanswered }, claimed, loss) {
  const exact = exactNotes(notes);
  const noted = new Set([...notes.keys()].map((name) => name.split(' ')[0] ?? ''));
  const ended = made.filter(({ request, isWhole }) => request !== undefined && isWhole);
  const wrong = ended.filter((one) => isWrong(one, exact.get(`${one.request} ${one.attempt}`)));
  const uncounted = ended.filter(
    ({ request, attempt }) =>
      !exact.has(`${request} ${attempt}`) && !notes.get(`${request} ${attempt}`)?.startsWith('moved'),
  );
  const [prompt, answer] = [...exact.values()].reduce(([p, a], one) => [p + one.prompt, a + one.answer], [0, 0]);
  const all = usage.answer_tokens + usage.partial_tokens + usage.repeated_tokens;
  const missing = [...claimed].filter((id) => !noted.has(id));
  return [
    equal('answers whose count differs from the engine’s', wrong.length, 0),
    equal('prompt tokens beside those of each attempt', usage.prompt_tokens, prompt),
    equal('answer tokens beside those of each attempt', usage.answer_tokens, answer),
    {
      what: 'answers that ended at the engine and have no exact count',
      holds: uncounted.length <= Math.max(3, ended.length * JUST_ENDED),
      seen: `${uncounted.length} of ${ended.length}`,
    },
    equal('requests', usage.requests, noted.size),
    equal('requests that a gateway saw taken, and that are missing', missing.length, 0),
    {
      what: 'requests and refusals beside those sent; without an answer’s head nobody knows whether a gateway had them',
      holds: usage.requests + usage.refusals <= sent && usage.requests + usage.refusals >= sent - unanswered,
      seen: `${usage.requests} + ${usage.refusals} of ${sent}, ${unanswered} of them without a head`,
    },
    { what: 'partial tokens, apart', holds: usage.partial_tokens > 0, seen: String(usage.partial_tokens) },
    {
      what: 'repeated attempts, apart',
      holds: usage.repeated_attempts > 0,
      seen: `${usage.repeated_attempts} attempts, ${usage.repeated_tokens} tokens`,
    },
    near('all tokens that the engines made', all, sum(made, 'made'), loss === 1 ? TOKENS : shareCut(made)),
    slotSeconds(usage.slot_ms, made, SLOTS.killed * loss),
  ];
}

/** @param {ReadonlyMap<string, string>} notes @returns {Map<string, { prompt: number, answer: number }>} */
function exactNotes(notes) {
  /** @type {Map<string, { prompt: number, answer: number }>} */
  const exact = new Map();
  for (const [name, note] of notes) {
    const [prompt = '', , answer = ''] = note.split(' ');
    if (Number(prompt) > 0) exact.set(name, { prompt: Number(prompt), answer: Number(answer) });
  }
  return exact;
}

/** A later epoch's prompt may hold what an earlier one delivered. @param {Made} made @param {{ prompt: number, answer: number } | undefined} note */
function isWrong({ attempt = '', prompt, made }, note) {
  if (note === undefined) return false;
  return note.answer !== made || note.prompt > prompt || (attempt.startsWith('1-') && note.prompt !== prompt);
}

/**
 * The tokens of answers that were cut, as a part of all: no others may be missing. A short load has too few for a fixed limit.
 * @param {readonly Made[]} made
 */
function shareCut(made) {
  const cut = made.filter(({ isWhole }) => !isWhole);
  return Math.max(TOKENS, sum(cut, 'made') / sum(made, 'made'));
}

/** @param {readonly Made[]} made @param {'prompt' | 'pictures' | 'made' | 'ms'} name */
function sum(made, name) {
  return made.reduce((total, one) => total + one[name], 0);
}

/**
 * A slot is held while dispatcher and engine wait for a CPU, and the engine's ledger does not have that time.
 * @param {number} slotMs @param {readonly Made[]} made @param {number} share
 */
function slotSeconds(slotMs, made, share) {
  const ms = sum(made, 'ms');
  // Among the tests of the suite, a few requests may all meet the longest waits.
  const lateMs = latenessMs(made.length < FEW ? 0.99 : 0.5);
  return near('slot seconds', slotMs / 1_000, ms / 1_000, share + (lateMs * made.length) / ms);
}

/** @param {string} what @param {number} seen @param {number} right @returns {Check} */
function equal(what, seen, right) {
  return { what, holds: seen === right, seen: `${seen}, ${right} expected` };
}

/** @param {string} what @param {number} seen @param {number} right @param {number} share @returns {Check} */
function near(what, seen, right, share) {
  const off = right === 0 ? 1 : (seen - right) / right;
  const shown = `${(off * 100).toFixed(2)} % (at most ${(share * 100).toFixed(1)} %)`;
  return { what, holds: Math.abs(off) <= share, seen: `${seen.toFixed(0)} of ${right.toFixed(0)}: ${shown}` };
}
