import { hashText } from './hash.ts';

/**
 * The simulator's own tokenizer: a piece is a word of up to twelve letters with the blank before it, three digits, or a
 * sign. A text that is cut between two pieces splits into the same pieces, so that a continuation is counted correctly.
 */
const PIECE = / ?<\|[a-z_0-9]{1,14}\|>| ?<\/?s>| ?\p{L}{1,12}| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]|\s/gu;

/** Longest piece in characters. A text longer than this times the context is too long, whatever its tokens are. */
export const LONGEST_PIECE = 17;
export const VOCABULARY = 32_064;
export const TOKEN = {
  bos: 1,
  endOfText: 32_000,
  assistant: 32_001,
  system: 32_006,
  end: 32_007,
  user: 32_010,
  /** the placeholder that vLLM repeats for each position of a picture */
  image: 32_044,
} as const;

const SPECIAL = new Map<string, number>([
  ['<s>', TOKEN.bos],
  ['</s>', 2],
  ['<|endoftext|>', TOKEN.endOfText],
  ['<|assistant|>', TOKEN.assistant],
  ['<|system|>', TOKEN.system],
  ['<|end|>', TOKEN.end],
  ['<|user|>', TOKEN.user],
  ['<|image|>', TOKEN.image],
]);
const SPECIAL_TEXT = new Map([...SPECIAL].map(([text, id]) => [id, text]));

/** Pieces by the id that this process gave them, for `/detokenize`; at most `SEEN_LIMIT` are kept. */
const seen = new Map<number, string>();
const SEEN_LIMIT = 20_000;

/** Splits a text; the pieces joined are the text, except for lone halves of surrogate pairs. */
export function splitText(text: string): string[] {
  return text.match(PIECE) ?? [];
}

/** A stable id for a piece: the model's own id of a control token, else a hash in the ordinary range; '' is the end. */
export function tokenId(piece: string): number {
  if (piece === '') return TOKEN.end;
  const special = SPECIAL.get(piece.trimStart());
  if (special !== undefined) return special;
  const id = 300 + (hashText(piece) % 31_600);
  if (seen.size < SEEN_LIMIT) seen.set(id, piece);
  return id;
}

/** The text of an id: a control token, a piece that this process has seen, else a made-up syllable. */
export function tokenText(id: number): string {
  return SPECIAL_TEXT.get(id) ?? seen.get(id) ?? ` t${id}`;
}

/** A piece as tokenizers print it, with the mark for a leading blank. */
export function tokenLabel(id: number): string {
  return tokenText(id).replaceAll(' ', '▁');
}
