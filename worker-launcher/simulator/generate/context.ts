import { badRequest, modelNotFound } from '../http/errors.ts';
import type { Prompt } from '../text/prompt.ts';
import { LONGEST_PIECE } from '../text/tokens.ts';

/** @throws ApiError 404 for an unknown model; a request without a model is accepted */
export function checkModel(model: string | undefined, names: readonly string[]): void {
  if (model === undefined || model === '' || names.includes(model)) return;
  throw modelNotFound(`The model \`${model}\` does not exist. Valid aliases: ${names.join(', ')}.`);
}

/** @throws ApiError 400 for a too long prompt: with `input_text` if its characters show it, else `input_tokens` */
export function checkPromptLength(prompt: Prompt, context: number): void {
  const tell = `This model's maximum context length is ${context} tokens. However, your prompt contains`;
  const ask = 'Please reduce the length of the input prompt.';
  const most = context * LONGEST_PIECE;
  if (prompt.characters > most && prompt.count > context) {
    throw badRequest(
      `${tell} ${prompt.characters} characters (more than ${most} characters, which is the upper bound for ${context} input tokens). ${ask}`,
      'input_text',
      String(prompt.characters),
    );
  }
  if (prompt.count >= context) {
    throw badRequest(
      `${tell} at least ${context + 1} input tokens, which exceeds this limit even without any output tokens. ${ask}`,
      'input_tokens',
      String(context + 1),
    );
  }
}
