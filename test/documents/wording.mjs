// @ts-check
import { CODE } from './page.mjs';

/** Words of a sentence, at most: in a page, and in a comment. */
const LONGEST = { page: 25, comment: 30 };

/**
 * Turns that readers have to read twice, each with what to write instead. Only those that never have a good use.
 * Case does not count; a turn stands between word boundaries.
 * @type {readonly (readonly [turn: RegExp, instead: string])[]}
 */
const BANNED = [
  [/but for/, 'except, or without'],
  [/(that|which) (is|are) none(?! of)/, 'invalid …, or no …'],
  [/(?<!const )what of/, 'which part of'],
  [/what is left( of)?/, 'the remaining …'],
  [/where else/, 'which other …'],
  [/whoever/, 'the actor: a caller, a process'],
  [/(somebody|nobody)/, 'the actor: a caller, no process, another gateway'],
  [/lets? go( of)?/, 'cleared to start, or released'],
  [/at once/, 'immediately, or at the same time'],
  [/(?<!(one|each|none|all|some|most|both|half|two|three) )of which/, 'whose, or a sentence of its own'],
  [/save for/, 'except'],
  [/anew/, 'again, or recreated'],
  [/meanwhile/, 'during this time, or the time itself'],
  [/for a while/, 'the time: for 10 s'],
  [/(is|are|was|were|be|been|being) told/, 'is reported, is answered, or the actor: the gateway reports …'],
  [/told (apart|from)/, 'distinguished'],
  [/(stands?|stood|standing) still/, 'does not advance, hangs'],
  [/(hold|holds|held) up/, 'delays'],
  [/(come|comes|came) back/, 'returns, reconnects'],
  [/for so long/, 'for this long'],
  [/(can|could|to) be had/, 'available'],
  [/may not/, 'must not, cannot or might not'],
  [/in silence/, 'without a message'],
  [/one an? (line|node|key|model|GPU|request|engine|replica)/, 'one per …'],
  [/(whereby|wherein|therein|thereof|hitherto|albeit|lest|hence|henceforth)/, 'a plain word: because, so, in it'],
];
/** A turn may go on in the next line of a comment. */
const BETWEEN_WORDS = String.raw`(?:\s+(?:\*|//|#) |\s+)`;
const TURNS = BANNED.map(([turn, instead]) => ({
  turn: new RegExp(`(?<![\\w-])${turn.source.replaceAll(' ', BETWEEN_WORDS)}(?![\\w-])`, 'gi'),
  instead,
}));

/** After these a full stop ends no sentence. */
const SHORTENED = /\b(e\.g|i\.e|etc|vs|cf|no|approx|incl)\.$/i;

/**
 * The sentences of a text: each ends at `.`, `!` or `?` before a blank, or with its line.
 * @param {string} text
 * @returns {string[]}
 */
export function sentencesOf(text) {
  /** @type {string[]} */
  const sentences = [];
  for (const line of text.split('\n')) {
    let sentence = '';
    for (const piece of line.split(/(?<=[.!?]["')\]’”]*)\s+/)) {
      sentence = sentence === '' ? piece : `${sentence} ${piece}`;
      if (SHORTENED.test(sentence)) continue;
      sentences.push(sentence);
      sentence = '';
    }
    if (sentence !== '') sentences.push(sentence);
  }
  return sentences.filter((one) => one.trim() !== '');
}

/** What has a letter or a digit in it, or is code. @param {string} sentence */
export function wordsIn(sentence) {
  return sentence.split(/\s+/).filter((word) => word.includes(CODE) || /[\p{L}\p{N}]/u.test(word)).length;
}

/**
 * @param {string} text
 * @param {keyof typeof LONGEST} where it stands
 * @returns {string[]} a problem for each sentence that is too long
 */
export function tooLongIn(text, where) {
  return sentencesOf(text).flatMap((sentence) => {
    const words = wordsIn(sentence);
    return words > LONGEST[where] ? [`a sentence of ${words} words, at most ${LONGEST[where]}: ${sentence}`] : [];
  });
}

/**
 * Each banned turn in a text.
 * @param {string} text
 * @returns {{ line: number, problem: string }[]} the line of the text, from 1 on, and what to write instead
 */
export function bannedIn(text) {
  return TURNS.flatMap(({ turn, instead }) =>
    [...text.matchAll(turn)].filter(isNoName).map(({ 0: found, index }) => ({
      line: text.slice(0, index).split('\n').length,
      problem: `"${found.replace(/\s+/g, ' ')}": write ${instead}`,
    })),
  );
}

/** A constant in capitals is no word of a sentence. @param {RegExpMatchArray} match */
function isNoName([found]) {
  return found !== found.toUpperCase();
}
