/** Splits a special token so that the tokenizer reads letters; no token name contains it. */
export const TOKEN_BREAK = '\u200B';
/** What `{name}` in a card's special tokens stands for; vLLM's processor of Phi-3 accepts any number. */
const NAME = { written: '{name}', pattern: '[^\\s|<>\\u200B]{1,64}', longest: 64 } as const;

/** Special tokens of the models in use, for cards that list none. vLLM itself adds `<##IMAGE##>` and similar ones. */
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
 * Finds each position where a special token begins, in linear time. It matches only the first character, so that a
 * replacement misses no token that begins inside another one. A group holds the rest of the token.
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
