// @ts-check
/** A block of JSON or text right after a program shows its output; `…` in it stands for anything, or nothing. */

/**
 * @param {'json' | 'text'} language
 * @param {string} expected
 * @param {string} output
 * @returns {boolean}
 */
export function isExpected(language, expected, output) {
  const [wanted, found] = [expected, output].map(language === 'json' ? withoutBlanks : withoutLineEnds);
  return patternOf(wanted ?? '', language).test(found ?? '');
}

/** @param {string} wanted @param {'json' | 'text'} language */
function patternOf(wanted, language) {
  const exact = wanted.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
  // In JSON `1, …` may also be the end of a list or object.
  const lenient = language === 'json' ? exact.replaceAll(/,…(?=\\[\]}])/g, '(?:,[^]*?)?') : exact;
  return new RegExp(`^${lenient.replaceAll('…', '[^]*?')}$`);
}

/** Blanks outside of strings mean nothing. @param {string} json */
function withoutBlanks(json) {
  return json.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}

/** @param {string} text */
function withoutLineEnds(text) {
  return text.replaceAll(/[ \t]+$/gm, '').trim();
}
