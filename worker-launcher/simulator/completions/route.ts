import { randomBytes } from 'node:crypto';
import { answerTo } from '../text/answer.ts';
import { readJsonBody } from '../http/body.ts';
import { CompletionBody } from '../chat/schema.ts';
import { CompletionAnswer, CompletionStream } from './answer.ts';
import { checkModel, checkPromptLength } from '../text/context.ts';
import { engineRefusal } from '../engine/rules.ts';
import type { Exchange } from '../http/exchange.ts';
import { mix } from '../text/hash.ts';
import { plainPrompt, truncated } from '../text/prompt.ts';
import { complaints, parseBody } from '../http/pydantic.ts';
import { allowedTokens, checkAskedTokens, readSampling, readStreamUsage } from '../engine/sampling.ts';
import { Sequence } from '../engine/sequence.ts';
import type { CompletionRequest } from './request.ts';
import type { Simulator } from '../simulator.ts';
import { readResponseFormat, readStructuredOutputs } from '../text/structured.ts';
import { tokenText } from '../text/tokens.ts';

/** vLLM's default of `max_tokens` on this route */
const DEFAULT_TOKENS = 16;

/** `POST /v1/completions`. */
export async function handleCompletions(exchange: Exchange, { engine, model, faults }: Simulator): Promise<void> {
  const { settings } = engine;
  const body = parseBody(CompletionBody, await readJsonBody(exchange.req));
  const usage = readStreamUsage(body, settings.forceUsage);
  checkModel(body.model, settings.names);
  const asked = body.max_tokens ?? DEFAULT_TOKENS;
  checkAskedTokens(asked, 'max_tokens', settings.maxModelLength);
  const limit = body.truncate_prompt_tokens;
  const prompts = readPrompts(body.prompt).map((text) => {
    const whole = plainPrompt(text);
    return limit === undefined ? whole : truncated(whole, limit);
  });
  let sampling = readSampling(body, asked);
  const sequences = prompts.flatMap((prompt) => {
    checkPromptLength(prompt, settings.maxModelLength);
    const maxTokens = allowedTokens(asked, 'max_tokens', prompt.count, settings.maxModelLength);
    sampling = readSampling(body, maxTokens);
    return Array.from({ length: sampling.choices }, (_, choice) => {
      const conversation = mix(prompt.seed.conversation, (sampling.seed ?? 0) + choice);
      return new Sequence(answerTo({ ...prompt.seed, conversation }, ''), sampling, maxTokens);
    });
  });
  engine.checkOpen();
  const caches = prompts.map((prompt) => engine.remember(prompt, body.cache_salt, 0));
  const request: CompletionRequest = {
    id: `cmpl-${exchange.header('x-request-id') ?? body.request_id ?? randomBytes(8).toString('hex')}`,
    prompts,
    cache: { cached: sum(caches.map(({ cached }) => cached)), created: sum(caches.map(({ created }) => created)) },
    sequences,
    choices: sampling.choices,
    usage,
    echo: body.echo ?? false,
    alternatives: body.logprobs,
    showsIds: body.return_token_ids ?? false,
  };
  const structure = readResponseFormat(body.response_format) ?? readStructuredOutputs(body.structured_outputs);
  const { maxLogprobs } = settings;
  const refusal = engineRefusal({ body, alternatives: body.logprobs, maxLogprobs, structure });
  if (refusal !== undefined) {
    if (body.stream !== true) throw refusal;
    new CompletionStream(exchange.stream(), request, model).fail(refusal);
    return;
  }
  const [prompt] = prompts;
  if (prompt === undefined || exchange.gone.aborted) return;
  const start = { id: request.id, prompt, maxTokens: asked, priority: body.priority ?? 0, sequences };
  let drop: () => void;
  if (body.stream === true) {
    const stream = new CompletionStream(exchange.stream(faults.onEvent()), request, model);
    drop = engine.start({
      ...start,
      onStep: (choice, step, task) => stream.take(choice, step, task),
      onFailure: (error) => stream.fail(error),
    });
  } else {
    const answer = new CompletionAnswer(request, model);
    drop = engine.start({
      ...start,
      onStep: (choice, step, task) => {
        const whole = answer.take(choice, step, task);
        if (whole !== undefined) exchange.json(200, whole);
      },
      onFailure: (error) => exchange.error(error),
    });
  }
  exchange.gone.addEventListener('abort', drop, { once: true });
}

/** A text, a list of texts, a list of ids, or a list of such lists. @throws ApiError 400 for anything else */
function readPrompts(prompt: unknown): string[] {
  if (typeof prompt === 'string') return [prompt];
  if (isIds(prompt)) return [prompt.map(tokenText).join('')];
  if (Array.isArray(prompt) && prompt.length > 0) {
    if (prompt.every((item) => typeof item === 'string')) return prompt;
    if (prompt.every(isIds)) return prompt.map((ids) => ids.map(tokenText).join(''));
  }
  throw complaints([
    { type: 'string_type', path: ['prompt'], message: 'Input should be a valid string', input: prompt },
  ]);
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => Number.isInteger(item));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
