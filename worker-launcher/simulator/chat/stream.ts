import type { ChatRequest } from './request.ts';
import type { ApiError } from '../http/errors.ts';
import type { EventStream } from '../http/exchange.ts';
import type { CollectedStep } from '../generate/collected-steps.ts';
import { EventFrames } from '../generate/event-frames.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import type { ServedModel } from '../generate/served-model.ts';
import { promptIds } from '../text/prompt.ts';
import type { Task } from '../engine/task.ts';
import type { Step } from '../engine/sequence.ts';
import { tokenId } from '../text/tokens.ts';
import { closingUsage, requestMetrics, runningUsage } from '../generate/usage.ts';

/**
 * Writes a chat answer as events, one for each decode step. Members and their order are those of recorded streams.
 * Parts that never change within a stream are built once: an ordinary event is a concatenation of three strings.
 */
export class ChatStream {
  readonly #out: EventStream;
  readonly #request: ChatRequest;
  readonly #model: ServedModel;
  readonly #frames: EventFrames;
  readonly #plainEnd: string;
  readonly #isPlain: boolean;
  readonly #hasCalled: boolean[];
  #hasBegun = false;

  constructor(out: EventStream, request: ChatRequest, model: ServedModel) {
    this.#out = out;
    this.#request = request;
    this.#model = model;
    this.#frames = new EventFrames(out, 'chat.completion.chunk', request, model);
    this.#hasCalled = request.sequences.map(() => false);
    this.#plainEnd = `},"logprobs":null,"finish_reason":null,"token_ids":null}]${this.#tail()}}\n\n`;
    this.#isPlain =
      !request.usage.everyChunk &&
      request.alternatives === undefined &&
      !request.showsIds &&
      request.call === undefined;
  }

  take(index: number, step: Step, task: Task): void {
    if (!this.#hasBegun) this.#begin();
    const collected = this.#frames.take(index, step, task);
    if (collected !== undefined) this.#send(index, collected, task);
  }

  #send(index: number, step: CollectedStep, task: Task): void {
    if (step.finish === null && this.#isPlain) {
      this.#out.write(this.#plainEvent(index, step.text));
      return;
    }
    this.#out.write(this.#callEvent(index));
    this.#out.write(this.#event(index, step));
    if (step.finish !== null) this.#frames.complete((total) => this.#closing(total, task));
  }

  fail(error: ApiError): void {
    // 0.32 writes this one event with Python's spacing.
    this.#frames.fail(this.#model.settings.version === '0.32' ? spaced(error.body()) : error.body());
  }

  /** The events before the first token: a role for each choice, and the repeated prefix if `echo` is set. */
  #begin(): void {
    this.#hasBegun = true;
    const { prompt, showsIds, sequences, echo } = this.#request;
    const ids = showsIds ? JSON.stringify(promptIds(prompt)) : 'null';
    for (const index of sequences.keys()) {
      const role = `{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`;
      this.#out.write(`${this.#frames.head}${role}${this.#usage(0)},"prompt_token_ids":${ids},"prompt_text":null}\n\n`);
      if (echo === '') continue;
      this.#out.write(this.#plainEvent(index, echo));
    }
  }

  #plainEvent(index: number, text: string): string {
    return `${this.#frames.head}{"index":${index},"delta":{"content":${JSON.stringify(text)}${this.#plainEnd}`;
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
    return `${this.#frames.head}${choice}]${this.#usage(this.#frames.produced(index))}${fingerprint}${this.#tail()}}\n\n`;
  }

  #delta(step: CollectedStep): string {
    const { call } = this.#request;
    if (call === undefined) return JSON.stringify({ content: step.text });
    if (step.finish !== null && step.text === '') return '{}';
    return JSON.stringify({ content: null, tool_calls: [{ index: 0, function: { arguments: step.text } }] });
  }

  /** The event with id and name of a call, which vLLM sends before the call's first arguments. */
  #callEvent(index: number): string {
    const { call } = this.#request;
    if (call === undefined || this.#hasCalled[index] === true) return '';
    this.#hasCalled[index] = true;
    const begun = { id: this.#model.callId(), type: 'function', index: 0, function: { name: call.name } };
    const delta = JSON.stringify({ content: null, tool_calls: [begun] });
    const choice = `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":null,"token_ids":null}`;
    return `${this.#frames.head}${choice}]${this.#usage(this.#frames.produced(index))}${this.#tail()}}\n\n`;
  }

  #closing(completionTokens: number, task: Task): string {
    const { prompt, cache, usage } = this.#request;
    if (!usage.closing) return '';
    const { settings, fingerprint } = this.#model;
    const closing = closingUsage({ prompt, cache, hasDetails: settings.promptTokensDetails }, completionTokens);
    const metrics = settings.perRequestMetrics ? `,"metrics":${JSON.stringify(requestMetrics(task))}` : '';
    return `${this.#frames.head}],"usage":${JSON.stringify(closing)},"system_fingerprint":"${fingerprint}"${metrics}}\n\n`;
  }

  #usage(completionTokens: number): string {
    if (!this.#request.usage.everyChunk) return '';
    return `,${runningUsage(this.#request.prompt.count, completionTokens)}`;
  }

  /** a member that 0.33 added to each event except the first and the last */
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
