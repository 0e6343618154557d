import type { ChatRequest } from './request.ts';
import type { ApiError } from '../http/errors.ts';
import type { EventStream } from '../http/exchange.ts';
import { StepCollector, type CollectedStep } from '../engine/collected-steps.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import type { ServedModel } from '../http/models.ts';
import { promptIds } from '../text/prompt.ts';
import type { Task } from '../engine/task.ts';
import type { Step } from '../engine/sequence.ts';
import { tokenId } from '../text/tokens.ts';
import { closingUsage, requestMetrics, runningUsage } from '../text/usage.ts';

export const DONE = 'data: [DONE]\n\n';

/**
 * Writes a chat answer as events, one for each decode step. Members and their order are those of recorded streams.
 * The parts that never change within a stream are built once: an ordinary event is a concatenation of three strings.
 */
export class ChatStream {
  readonly #out: EventStream;
  readonly #request: ChatRequest;
  readonly #model: ServedModel;
  readonly #start: string;
  readonly #plainEnd: string;
  readonly #isPlain: boolean;
  readonly #produced: number[];
  readonly #hasCalled: boolean[];
  readonly #steps: StepCollector;
  #hasBegun = false;
  #open: number;

  constructor(out: EventStream, request: ChatRequest, model: ServedModel) {
    this.#out = out;
    this.#request = request;
    this.#model = model;
    this.#open = request.sequences.length;
    this.#steps = new StepCollector(model.settings);
    this.#produced = request.sequences.map(() => 0);
    this.#hasCalled = request.sequences.map(() => false);
    const { id } = request;
    const head = { id, object: 'chat.completion.chunk', created: model.nowSeconds(), model: model.name };
    this.#start = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
    this.#plainEnd = `},"logprobs":null,"finish_reason":null,"token_ids":null}]${this.#tail()}}\n\n`;
    this.#isPlain =
      !request.usage.everyChunk &&
      request.alternatives === undefined &&
      !request.showsIds &&
      request.call === undefined;
  }

  take(index: number, step: Step, task: Task): void {
    if (!this.#hasBegun) this.#begin();
    this.#produced[index] = task.sequence.produced;
    const collected = this.#steps.take(index, step, task.sequence.produced);
    if (collected !== undefined) this.#send(index, collected, task);
  }

  #send(index: number, step: CollectedStep, task: Task): void {
    if (step.finish === null && this.#isPlain) {
      this.#out.write(
        `${this.#start}{"index":${index},"delta":{"content":${JSON.stringify(step.text)}${this.#plainEnd}`,
      );
      return;
    }
    this.#out.write(this.#callEvent(index));
    this.#out.write(this.#event(index, step));
    if (step.finish !== null) this.#finish(task);
  }

  /** The engine died: an error event, then `[DONE]` and an orderly end, as vLLM does. */
  fail(error: ApiError): void {
    // 0.32 writes this one event with Python's spacing.
    const body = this.#model.settings.version === '0.32' ? spaced(error.body()) : error.body();
    this.#out.write(`data: ${body}\n\n`);
    this.#out.write(DONE);
    this.#out.end();
  }

  /** The events that come with the first token: a role for each choice, and the repeated prefix if asked for. */
  #begin(): void {
    this.#hasBegun = true;
    const { prompt, showsIds, sequences, echo } = this.#request;
    const ids = showsIds ? JSON.stringify(promptIds(prompt)) : 'null';
    for (const index of sequences.keys()) {
      const role = `{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`;
      this.#out.write(`${this.#start}${role}${this.#usage(0)},"prompt_token_ids":${ids},"prompt_text":null}\n\n`);
      if (echo === '') continue;
      this.#out.write(`${this.#start}{"index":${index},"delta":{"content":${JSON.stringify(echo)}${this.#plainEnd}`);
    }
  }

  #event(index: number, step: CollectedStep): string {
    const request = this.#request;
    const model = this.#model;
    const { alternatives } = request;
    const logprobs =
      alternatives === undefined
        ? 'null'
        : JSON.stringify({ content: step.pieces.flatMap((piece) => chatLogprobs(piece, alternatives).content) });
    const ids = request.showsIds ? JSON.stringify(step.pieces.map(tokenId)) : 'null';
    let ending = '"finish_reason":null';
    let fingerprint = '';
    let versions = '';
    if (step.finish !== null) {
      const reason = request.call?.isNamed === false && step.finish === 'stop' ? 'tool_calls' : step.finish;
      ending = `"finish_reason":"${reason}","stop_reason":${JSON.stringify(step.stopReason)}`;
      if (!request.usage.closing) fingerprint = `,"system_fingerprint":"${model.fingerprint}"`;
      if (model.weightVersions.weight_versions === null) versions = ',"weight_versions":null';
    }
    const choice = `{"index":${index},"delta":${this.#delta(step)},"logprobs":${logprobs},${ending},"token_ids":${ids}${versions}}`;
    return `${this.#start}${choice}]${this.#usage(this.#produced[index] ?? 0)}${fingerprint}${this.#tail()}}\n\n`;
  }

  #delta(step: CollectedStep): string {
    const { call } = this.#request;
    if (call === undefined) return JSON.stringify({ content: step.text });
    if (step.finish !== null && step.text === '') return '{}';
    return JSON.stringify({ content: null, tool_calls: [{ index: 0, function: { arguments: step.text } }] });
  }

  /** Before the first arguments of a call an event of its own brings id and name. */
  #callEvent(index: number): string {
    const { call } = this.#request;
    if (call === undefined || this.#hasCalled[index] === true) return '';
    this.#hasCalled[index] = true;
    const begun = { id: this.#model.callId(), type: 'function', index: 0, function: { name: call.name } };
    const delta = JSON.stringify({ content: null, tool_calls: [begun] });
    const choice = `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":null,"token_ids":null}`;
    return `${this.#start}${choice}]${this.#usage(this.#produced[index] ?? 0)}${this.#tail()}}\n\n`;
  }

  #finish(task: Task): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    const request = this.#request;
    const model = this.#model;
    if (request.usage.closing) {
      const total = this.#produced.reduce((sum, count) => sum + count, 0);
      const hasDetails = model.settings.promptTokensDetails;
      const usage = closingUsage({ prompt: request.prompt, cache: request.cache, hasDetails }, total);
      const metrics = model.settings.perRequestMetrics ? `,"metrics":${JSON.stringify(requestMetrics(task))}` : '';
      this.#out.write(
        `${this.#start}],"usage":${JSON.stringify(usage)},"system_fingerprint":"${model.fingerprint}"${metrics}}\n\n`,
      );
    }
    this.#out.write(DONE);
    this.#out.end();
  }

  #usage(completionTokens: number): string {
    if (!this.#request.usage.everyChunk) return '';
    return `,${runningUsage(this.#request.prompt.count, completionTokens)}`;
  }

  /** a member that 0.33 added to each event but the first and the last */
  #tail(): string {
    return this.#model.settings.version === '0.32' ? '' : ',"kv_transfer_params":null';
  }
}

function spaced(json: string): string {
  return json
    .replaceAll(/"(message|type|param|code)":/g, '"$1": ')
    .replaceAll(/,"(type|param|code)"/g, ', "$1"')
    .replace('{"error":', '{"error": ');
}
