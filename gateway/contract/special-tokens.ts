/** Splits a special token so that it is none; stands in no name of one. */
export const TOKEN_BREAK = '\u200B';
/** What `{name}` stands for in the spelling of a card's special tokens; vLLM's processor of Phi-3 takes any digits for a number. */
const NAME = { written: '{name}', pattern: '[^\\s|<>\\u200B]{1,64}', longest: 64 } as const;

/** Special tokens of the models in use, for cards that name none. `<##IMAGE##>` and its like are vLLM's own. */
export const USUAL_SPECIAL_TOKENS = [
  '<|{name}|>',
  '<s>',
  '</s>',
  '<unk>',
  '<pad>',
  '<bos>',
  '<eos>',
  '[INST]',
  '[/INST]',
  '<start_of_turn>',
  '<end_of_turn>',
  '<##{name}##>',
] as const;

/**
 * Finds each place where a special token begins, in linear time, and matches its first character only, so that a
 * replacement misses none that begins inside another one. The rest is what one of the groups has.
 * @param spellings at least two characters each; `{name}` is any name without blanks, bars and angle brackets
 */
export function specialTokenPattern(spellings: readonly string[]): RegExp {
  const alternatives = spellings.map((spelling) => {
    const [first = '', ...rest] = spelling;
    const after = rest.join('').split(NAME.written).map(literal).join(NAME.pattern);
    return `${literal(first)}(?=(${after}))`;
  });
  return new RegExp(alternatives.join('|'), 'gu');
}

/** UTF-16 units of the longest special token. */
export function longestSpecialToken(spellings: readonly string[]): number {
  return Math.max(0, ...spellings.map((text) => text.replaceAll(NAME.written, 'x'.repeat(NAME.longest)).length));
}

function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
