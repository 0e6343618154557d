import { EventFrames } from '../generate/event-frames.ts';
import type { Choice } from '../generate/gathered-answer.ts';
import type { CompletionRequest } from './request.ts';
import type { ApiError } from '../http/errors.ts';
import type { EventStream } from '../http/exchange.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import type { ServedModel } from '../generate/served-model.ts';
import { promptIds } from '../text/prompt.ts';
import type { Task } from '../engine/task.ts';
import type { Step } from '../engine/sequence.ts';
import { tokenId } from '../text/tokens.ts';
import { closingUsage, requestMetrics, runningUsage, wholeUsage } from '../generate/usage.ts';

/** The body of a completion that is not streamed. */
export function completionBody(
  request: CompletionRequest,
  model: ServedModel,
  choices: readonly Choice[],
  completionTokens: number,
  task: Task,
): object {
  const { settings } = model;
  return {
    id: request.id,
    object: 'text_completion',
    created: model.nowSeconds(),
    model: model.name,
    choices: choices.map((choice, index) => ({
      index,
      text: choice.text,
      logprobs: request.alternatives === undefined ? null : legacyLogprobs(choice.pieces, request.alternatives),
      finish_reason: choice.finish,
      stop_reason: choice.stopReason,
      token_ids: request.showsIds ? choice.pieces.map(tokenId) : null,
      prompt_logprobs: null,
      prompt_token_ids: request.showsIds ? promptOf(request, index) : null,
      routed_experts: null,
      ...model.weightVersions,
    })),
    service_tier: null,
    system_fingerprint: model.fingerprint,
    usage: wholeUsage(usageOf(request, settings.promptTokensDetails), completionTokens, false),
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: settings.perRequestMetrics ? { ...requestMetrics(task), speculative_decoding: null } : null,
  };
}

/** The events of a streamed completion, one for each decode step. */
export class CompletionStream {
  readonly #out: EventStream;
  readonly #request: CompletionRequest;
  readonly #model: ServedModel;
  readonly #frames: EventFrames;
  readonly #hasBegun: boolean[] = [];

  constructor(out: EventStream, request: CompletionRequest, model: ServedModel) {
    this.#out = out;
    this.#request = request;
    this.#model = model;
    this.#frames = new EventFrames(out, 'text_completion', request, model);
  }

  take(index: number, step: Step, task: Task): void {
    const request = this.#request;
    const collected = this.#frames.take(index, step, task);
    if (collected === undefined) return;
    const { pieces } = collected;
    const isFirst = this.#hasBegun[index] !== true;
    this.#hasBegun[index] = true;
    const choice = {
      index,
      text: (isFirst ? echoOf(request, index) : '') + collected.text,
      logprobs: request.alternatives === undefined ? null : legacyLogprobs(pieces, request.alternatives),
      finish_reason: step.finish,
      stop_reason: step.stopReason,
      prompt_token_ids: request.showsIds && isFirst ? promptOf(request, index) : null,
      token_ids: request.showsIds ? pieces.map(tokenId) : null,
    };
    const usage = request.usage.everyChunk
      ? runningUsage(usageOf(request, false).prompt.count, this.#frames.produced(index))
      : '"usage":null';
    this.#out.write(`${this.#frames.head}${JSON.stringify(choice)}],${usage}}\n\n`);
    if (step.finish !== null) this.#frames.complete((total) => this.#closing(total));
  }

  fail(error: ApiError): void {
    this.#frames.fail(error.body());
  }

  #closing(completionTokens: number): string {
    if (!this.#request.usage.closing) return '';
    const usage = closingUsage(usageOf(this.#request, this.#model.settings.promptTokensDetails), completionTokens);
    return `${this.#frames.head}],"usage":${JSON.stringify(usage)}}\n\n`;
  }
}

function usageOf({ prompt, prompts, cache }: CompletionRequest, hasDetails: boolean) {
  const count = prompts.reduce((total, one) => total + one.count, 0);
  return { prompt: { ...prompt, count }, cache, hasDetails };
}

function promptIndex({ choices, prompts }: CompletionRequest, index: number) {
  return prompts[Math.floor(index / choices)];
}

function promptOf(request: CompletionRequest, index: number): number[] {
  const prompt = promptIndex(request, index);
  return prompt === undefined ? [] : promptIds(prompt);
}

/** The text that a choice begins with: its prompt, if the request has `echo`. */
export function echoOf(request: CompletionRequest, index: number): string {
  return request.echo ? (promptIndex(request, index)?.seed.question ?? '') : '';
}

/** Logprobs in the form of the completions route. */
function legacyLogprobs(pieces: readonly string[], alternatives: number) {
  const all = pieces.map((piece) => chatLogprobs(piece, Math.max(alternatives, 1)).content[0]);
  let offset = 0;
  return {
    text_offset: pieces.map((piece) => {
      const at = offset;
      offset += piece.length;
      return at;
    }),
    token_logprobs: all.map((entry) => entry?.logprob ?? null),
    tokens: [...pieces],
    top_logprobs: all.map((entry) =>
      Object.fromEntries((entry?.top_logprobs ?? []).map((top) => [top.token, top.logprob])),
    ),
  };
}
