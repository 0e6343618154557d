import type { ChatRequest } from './request.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import { promptIds } from '../text/prompt.ts';
import type { ServedModel } from '../http/models.ts';
import type { Task } from '../engine/task.ts';
import type { FinishReason, Step } from '../engine/sequence.ts';
import { tokenId } from '../text/tokens.ts';
import { requestMetrics, wholeUsage } from '../text/usage.ts';

interface Choice {
  content: string;
  readonly tokenIds: number[];
  readonly logprobs: ReturnType<typeof chatLogprobs>['content'];
  finish: FinishReason | null;
  stopReason: number | string | null;
  produced: number;
}

/** Gathers the steps of a request that is not streamed, and makes the one body of it. */
export class ChatAnswer {
  readonly #request: ChatRequest;
  readonly #model: ServedModel;
  readonly #choices: Choice[];
  #open: number;

  constructor(request: ChatRequest, model: ServedModel) {
    this.#request = request;
    this.#model = model;
    this.#open = request.sequences.length;
    this.#choices = request.sequences.map(() => ({
      content: request.echo,
      tokenIds: [],
      logprobs: [],
      finish: null,
      stopReason: null,
      produced: 0,
    }));
  }

  /** @returns the body once all choices are complete */
  take(index: number, step: Step, task: Task): object | undefined {
    const choice = this.#choices[index];
    if (choice === undefined) return undefined;
    choice.content += step.text;
    if (this.#request.showsIds) choice.tokenIds.push(tokenId(step.piece));
    if (this.#request.alternatives !== undefined) {
      choice.logprobs.push(...chatLogprobs(step.piece, this.#request.alternatives).content);
    }
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
    const completionTokens = this.#choices.reduce((sum, choice) => sum + choice.produced, 0);
    const { settings } = model;
    return {
      id: request.id,
      object: 'chat.completion',
      created: model.nowSeconds(),
      model: model.name,
      choices: this.#choices.map((choice, index) => ({
        index,
        message: this.#message(choice),
        logprobs: request.alternatives === undefined ? null : { content: choice.logprobs },
        finish_reason: request.call?.isNamed === false && choice.finish === 'stop' ? 'tool_calls' : choice.finish,
        stop_reason: choice.stopReason,
        token_ids: request.showsIds ? choice.tokenIds : null,
        routed_experts: null,
        ...model.weightVersions,
      })),
      service_tier: null,
      system_fingerprint: model.fingerprint,
      usage: wholeUsage(
        { prompt: request.prompt, cache: request.cache, hasDetails: settings.promptTokensDetails },
        completionTokens,
        true,
      ),
      prompt_logprobs: null,
      prompt_token_ids: request.showsIds ? promptIds(request.prompt) : null,
      prompt_text: null,
      kv_transfer_params: null,
      ec_transfer_params: null,
      metrics: settings.perRequestMetrics ? { ...requestMetrics(task), speculative_decoding: null } : null,
    };
  }

  #message(choice: Choice): object {
    const { call } = this.#request;
    // The parser finds a call only in a complete text; a named one needs no parser.
    const isCall = call !== undefined && (call.isNamed || choice.finish === 'stop');
    const raw =
      call === undefined ? choice.content : `<tool_call>{"name": "${call.name}", "arguments": ${choice.content}`;
    const calls = !isCall
      ? {}
      : {
          tool_calls: [
            {
              id: this.#model.callId(),
              type: 'function',
              function: { name: call.name, arguments: choice.content },
            },
          ],
        };
    return {
      role: 'assistant',
      content: isCall ? '' : raw,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      ...calls,
      reasoning: null,
    };
  }
}
