import type { AnswerSeed } from './answer.ts';
import { hashText, mix } from './hash.ts';
import type { Picture } from '../pictures/image.ts';
import { splitText, TOKEN, tokenId } from './tokens.ts';

export interface ChatTurn {
  readonly role: string;
  readonly text: string;
}

export interface PromptPicture {
  readonly picture: Picture;
  readonly tokens: number;
}

/** A conversation in the form that the model receives. */
export interface Prompt {
  /** characters of the text, without pictures */
  readonly characters: number;
  readonly pieces: readonly string[];
  readonly pictures: readonly PromptPicture[];
  /** all tokens, those of the pictures included */
  readonly count: number;
  readonly imageTokens: number;
  readonly seed: AnswerSeed;
  /** the assistant's text that the answer continues */
  readonly prefix: string;
}

/**
 * Applies the chat template of Phi-3-vision: `<|user|>\n…<|end|>\n<|assistant|>\n`. Control tokens swallow the white
 * space after them.
 */
export function chatPrompt(
  turns: readonly ChatTurn[],
  pictures: readonly PromptPicture[],
  options: { readonly generationPrompt: boolean; readonly continueLast: boolean },
): Prompt {
  const last = options.continueLast ? turns.at(-1) : undefined;
  const closed = last === undefined ? turns : turns.slice(0, -1);
  const history = closed.map(({ role, text }) => `<|${role}|> ${text.trimStart()}<|end|>`).join('');
  const open = options.generationPrompt || last !== undefined ? '<|assistant|>' : '';
  const prefix = last?.text.trimStart() ?? '';
  const question = turns.findLast(({ role }) => role === 'user')?.text ?? '';
  return build(`${history}${open}`, prefix === '' ? '' : ` ${prefix}`, pictures, question, prefix);
}

/** A plain completion: the text alone, after `<s>`. */
export function plainPrompt(text: string): Prompt {
  return build(`<s>${text.startsWith(' ') ? '' : ' '}${text}`, '', [], text, '');
}

/** The last `tokens` of a prompt. vLLM drops the tokens before them without an error. */
export function truncated(prompt: Prompt, tokens: number): Prompt {
  return tokens >= prompt.count ? prompt : { ...prompt, pieces: prompt.pieces.slice(-tokens), count: tokens };
}

function build(
  head: string,
  spoken: string,
  pictures: readonly PromptPicture[],
  question: string,
  prefix: string,
): Prompt {
  const pieces = splitText(head + spoken);
  const imageTokens = pictures.reduce((sum, { tokens }) => sum + tokens, 0);
  // With a picture the prompt gains a leading <s>, and one more follows each picture (recorded token lists of vLLM).
  const extra = pictures.length === 0 ? 0 : 1 + pictures.length;
  return {
    characters: head.length + spoken.length,
    pieces,
    pictures,
    count: pieces.length + imageTokens + extra,
    imageTokens,
    seed: {
      conversation: pictures.reduce((hash, { picture }) => mix(hash, picture.hash), hashText(head)),
      question,
      pictures: pictures.map(({ picture }) => picture.description),
    },
    prefix,
  };
}

/** All token ids, those of the pictures included. */
export function promptIds({ pieces, pictures }: Prompt): number[] {
  const ids = pieces.map(tokenId);
  if (pictures.length === 0) return ids;
  const expanded = pictures.flatMap(({ tokens }) => [...new Array<number>(tokens).fill(TOKEN.image), TOKEN.bos]);
  return [TOKEN.bos, ...ids.slice(0, 1), ...expanded, ...ids.slice(1)];
}
