import type { ChatRequest } from './chat.ts';
import { textLength } from './card-rules.ts';

/**
 * Tokens in a unit of cost. Few, because BullMQ's priorities are whole numbers: within one unit requests are served as they
 * arrived, and a light key waits for those of a heavy one.
 */
export const UNIT_TOKENS = 4;
/** A usual length of a token; only the tokenizer knows the exact one. */
const CHARACTERS_A_TOKEN = 4;

/**
 * The load that a request puts on an engine, for the shares of callers: prompt, pictures and the longest answer that it
 * allows.
 * @returns units of 4 tokens, above 0
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
