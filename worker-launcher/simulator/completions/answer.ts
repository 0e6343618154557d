import { DONE } from '../chat/stream.ts';
import { StepCollector } from '../engine/collected-steps.ts';
import type { CompletionRequest } from './request.ts';
import type { ApiError } from '../http/errors.ts';
import type { EventStream } from '../http/exchange.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import type { ServedModel } from '../http/models.ts';
import { promptIds } from '../text/prompt.ts';
import type { Task } from '../engine/task.ts';
import type { FinishReason, Step } from '../engine/sequence.ts';
import { tokenId } from '../text/tokens.ts';
import { closingUsage, requestMetrics, runningUsage, wholeUsage } from '../text/usage.ts';

interface Choice {
  text: string;
  readonly pieces: string[];
  finish: FinishReason | null;
  stopReason: number | string | null;
  produced: number;
}

/** The body of a completion that is not streamed. */
export class CompletionAnswer {
  readonly #request: CompletionRequest;
  readonly #model: ServedModel;
  readonly #choices: Choice[];
  #open: number;

  constructor(request: CompletionRequest, model: ServedModel) {
    this.#request = request;
    this.#model = model;
    this.#open = request.sequences.length;
    this.#choices = request.sequences.map((_, index) => ({
      text: echoOf(request, index),
      pieces: [],
      finish: null,
      stopReason: null,
      produced: 0,
    }));
  }

  /** @returns the body once all choices are complete */
  take(index: number, step: Step, task: Task): object | undefined {
    const choice = this.#choices[index];
    if (choice === undefined) return undefined;
    choice.text += step.text;
    choice.pieces.push(step.piece);
    if (step.finish === null) return undefined;
    choice.finish = step.finish;
    choice.stopReason = step.stopReason;
    choice.produced = task.sequence.produced;
    this.#open -= 1;
    return this.#open === 0 ? this.#body(task) : undefined;
  }

  #body(task: Task): object {
    const request = this.#request;
    const model = this.#model;
    const { settings } = model;
    const completionTokens = this.#choices.reduce((total, choice) => total + choice.produced, 0);
    return {
      id: request.id,
      object: 'text_completion',
      created: model.nowSeconds(),
      model: model.name,
      choices: this.#choices.map((choice, index) => ({
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
}

/** The events of a streamed completion, one for each decode step. */
export class CompletionStream {
  readonly #out: EventStream;
  readonly #request: CompletionRequest;
  readonly #model: ServedModel;
  readonly #start: string;
  readonly #produced: number[];
  readonly #steps: StepCollector;
  #hasBegun: boolean[] = [];
  #open: number;

  constructor(out: EventStream, request: CompletionRequest, model: ServedModel) {
    this.#out = out;
    this.#request = request;
    this.#model = model;
    this.#open = request.sequences.length;
    this.#produced = request.sequences.map(() => 0);
    this.#steps = new StepCollector(model.settings);
    const head = { id: request.id, object: 'text_completion', created: model.nowSeconds(), model: model.name };
    this.#start = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
  }

  take(index: number, step: Step, task: Task): void {
    const request = this.#request;
    this.#produced[index] = task.sequence.produced;
    const collected = this.#steps.take(index, step, task.sequence.produced);
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
      ? runningUsage(usageOf(request, false).prompt.count, this.#produced[index] ?? 0)
      : '"usage":null';
    this.#out.write(`${this.#start}${JSON.stringify(choice)}],${usage}}\n\n`);
    if (step.finish !== null) this.#finish();
  }

  fail(error: ApiError): void {
    this.#out.write(`data: ${error.body()}\n\n`);
    this.#out.write(DONE);
    this.#out.end();
  }

  #finish(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    if (this.#request.usage.closing) {
      const total = this.#produced.reduce((all, count) => all + count, 0);
      const usage = closingUsage(usageOf(this.#request, this.#model.settings.promptTokensDetails), total);
      this.#out.write(`${this.#start}],"usage":${JSON.stringify(usage)}}\n\n`);
    }
    this.#out.write(DONE);
    this.#out.end();
  }
}

function usageOf(request: CompletionRequest, hasDetails: boolean) {
  const [first] = request.prompts;
  if (first === undefined) throw new Error('a completion without a prompt');
  const count = request.prompts.reduce((total, prompt) => total + prompt.count, 0);
  return { prompt: { ...first, count }, cache: request.cache, hasDetails };
}

function promptIndex({ choices, prompts }: CompletionRequest, index: number) {
  return prompts[Math.floor(index / choices)];
}

function promptOf(request: CompletionRequest, index: number): number[] {
  const prompt = promptIndex(request, index);
  return prompt === undefined ? [] : promptIds(prompt);
}

function echoOf(request: CompletionRequest, index: number): string {
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
