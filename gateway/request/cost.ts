import type { ChatRequest } from './chat.ts';
import { textLength } from './card-rules.ts';

/** tokens in a unit of cost */
export const UNIT_TOKENS = 256;
/** A usual length of a token; only the tokenizer knows the exact one. */
const CHARACTERS_A_TOKEN = 4;

/**
 * The load that a request puts on an engine, for the shares of callers: prompt, pictures and the longest answer that it
 * allows.
 * @returns units of 256 tokens, above 0
 */
export function costOf(request: ChatRequest, imageTokens: number, maxTokens: number): number {
  const prompts = (request.prompts ?? []).map(({ length }) => length);
  const characters = prompts.reduce((sum, length) => sum + length, textLength(request));
  return (characters / CHARACTERS_A_TOKEN + imageTokens + longestAnswer(request, maxTokens)) / UNIT_TOKENS;
}

/** Tokens of the longest answer that a request allows. */
export function longestAnswer({ route, choices }: ChatRequest, maxTokens: number): number {
  return route === '/tokenize' ? 1 : maxTokens * choices;
}
