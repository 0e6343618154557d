import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { EventStream } from '../http/exchange.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import type { ServedModel } from '../generate/served-model.ts';
import type { ResponsesRequest } from './request.ts';
import type { Step } from '../engine/sequence.ts';
import type { Task } from '../engine/task.ts';

const SchemaFormat = z.looseObject({ type: z.literal('json_schema') });
type Logprobs = ReturnType<typeof logprobsOf>;

/**
 * One answer of `/v1/responses`, as one body or as events. Members and their order are those of recorded answers. A
 * stream has neither error events nor `[DONE]`: if the engine refuses or dies, vLLM 0.32 breaks it off.
 */
export class ResponsesAnswer {
  readonly #request: ResponsesRequest;
  readonly #model: ServedModel;
  readonly #createdAt: number;
  readonly #messageId = `msg_${randomBytes(8).toString('hex')}`;
  readonly #out: EventStream | undefined;
  readonly #logprobs: Logprobs = [];
  #text = '';
  #events = 0;

  /** @param out the stream of the events; absent for one body */
  constructor(request: ResponsesRequest, model: ServedModel, out?: EventStream) {
    this.#request = request;
    this.#model = model;
    this.#createdAt = model.nowSeconds();
    this.#out = out;
    if (out === undefined) return;
    const response = this.#response('in_progress', [], null);
    this.#send('response.created', { response });
    this.#send('response.in_progress', { response });
  }

  /** @returns the body once it is complete */
  take(_choice: number, step: Step, task: Task): object | undefined {
    const { alternatives } = this.#request.chat;
    const logprobs = alternatives === undefined ? [] : logprobsOf(step.piece, alternatives);
    if (step.text !== '') {
      if (this.#text === '') this.#open();
      this.#text += step.text;
      this.#logprobs.push(...logprobs);
      const at = { content_index: 0, delta: step.text, item_id: this.#messageId, logprobs, output_index: 0 };
      this.#send('response.output_text.delta', at);
    }
    if (step.finish === null) return undefined;
    const part = this.#part(this.#text);
    const output = this.#text === '' ? [] : [this.#message('completed', [part])];
    if (this.#text !== '') {
      const done = { content_index: 0, item_id: this.#messageId, logprobs: [], output_index: 0 };
      this.#send('response.output_text.done', done, { text: this.#text });
      this.#send('response.content_part.done', { ...this.#place, part });
      this.#send('response.output_item.done', { item: output[0], output_index: 0 });
    }
    const whole = this.#response(step.finish === 'length' ? 'incomplete' : 'completed', output, task.sequence.produced);
    this.#send('response.completed', { response: whole });
    this.#out?.end();
    return whole;
  }

  fail(): void {
    this.#out?.breakOff();
  }

  #open(): void {
    this.#send('response.output_item.added', { item: this.#message('in_progress', []), output_index: 0 });
    const part = { ...this.#part(''), logprobs: [] };
    this.#send('response.content_part.added', { ...this.#place, part });
  }

  get #place(): object {
    return { content_index: 0, item_id: this.#messageId, output_index: 0 };
  }

  #part(text: string): object {
    const logprobs = this.#logprobs.length === 0 ? null : this.#logprobs;
    return { annotations: [], text, type: 'output_text', logprobs };
  }

  #message(status: string, content: readonly object[]): object {
    return { id: this.#messageId, content, role: 'assistant', status, type: 'message', phase: null };
  }

  #send(type: string, members: object, last: object = {}): void {
    this.#out?.write(
      `event: ${type}\ndata: ${JSON.stringify({ ...members, sequence_number: this.#events, ...last, type })}\n\n`,
    );
    this.#events += 1;
  }

  #response(status: string, output: readonly unknown[], produced: number | null): object {
    const { id, body, chat } = this.#request;
    const input = chat.prompt.count;
    return {
      id,
      created_at: this.#createdAt,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      instructions: body.instructions ?? null,
      metadata: body.metadata ?? null,
      model: this.#model.name,
      object: 'response',
      output,
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      temperature: body.temperature ?? 1,
      tool_choice: 'none',
      tools: [],
      top_p: body.top_p ?? 1,
      background: false,
      max_output_tokens: chat.maxTokens,
      max_tool_calls: body.max_tool_calls ?? null,
      previous_response_id: null,
      prompt: null,
      reasoning: body.reasoning === undefined ? null : { ...NO_REASONING, ...body.reasoning },
      service_tier: body.service_tier ?? 'auto',
      status,
      text: body.text === undefined ? null : textConfig(body.text),
      top_logprobs: chat.alternatives ?? null,
      truncation: body.truncation ?? 'disabled',
      usage: produced === null ? null : usageOf(input, chat.cache.cached, produced),
      user: body.user ?? null,
      presence_penalty: body.presence_penalty ?? 0,
      frequency_penalty: body.frequency_penalty ?? 0,
      kv_transfer_params: null,
      ec_transfer_params: null,
      input_messages: null,
      output_messages: null,
    };
  }
}

/** `text` of the request, with all its members. */
function textConfig({ format, verbosity = null }: Readonly<Record<string, unknown>>): object {
  const schema = SchemaFormat.safeParse(format).data;
  if (schema === undefined) return { format: format ?? null, verbosity };
  const { name, schema: shape, type, description = null, strict = null } = schema;
  return { format: { name, schema: shape, type, description, strict }, verbosity };
}

const NO_REASONING = { context: null, effort: null, generate_summary: null, mode: null, summary: null };

function logprobsOf(piece: string, alternatives: number) {
  const { content } = chatLogprobs(piece, alternatives);
  return content.map(({ token, bytes, logprob, top_logprobs: top }) => ({
    token,
    bytes,
    logprob,
    top_logprobs: top.map((one) => ({ token: one.token, bytes: one.bytes, logprob: one.logprob })),
  }));
}

function usageOf(input: number, cached: number, output: number): object {
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: cached,
      cache_write_tokens: 0,
      input_tokens_per_turn: [],
      cached_tokens_per_turn: [],
    },
    output_tokens: output,
    output_tokens_details: {
      reasoning_tokens: 0,
      tool_output_tokens: 0,
      output_tokens_per_turn: [],
      tool_output_tokens_per_turn: [],
    },
    total_tokens: input + output,
  };
}
