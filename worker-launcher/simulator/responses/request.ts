import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { prepareChat, type ChatRequest } from '../chat/request.ts';
import { checkModel } from '../generate/context.ts';
import type { Engine } from '../engine/engine.ts';
import { ApiError, badRequest } from '../http/errors.ts';
import { field, parseBody } from '../http/pydantic.ts';
import { checkAskedTokens } from '../generate/sampling.ts';

/** `POST /v1/responses` as vLLM reads it; the simulator ignores all other fields. */
const ResponsesBody = z.object({
  model: field.text,
  input: z.union([z.string(), z.array(z.unknown())]),
  instructions: field.text,
  max_output_tokens: field.int,
  max_tool_calls: field.int,
  metadata: field.object,
  user: field.text,
  include: field.texts,
  text: field.object,
  reasoning: field.object,
  structured_outputs: field.anything,
  tool_choice: field.anything,
  parallel_tool_calls: field.bool,
  previous_response_id: field.text,
  service_tier: field.text,
  truncation: field.text,
  background: field.bool,
  store: field.bool,
  stream: field.bool,
  temperature: field.float,
  top_p: field.float,
  top_k: field.int,
  min_p: field.float,
  top_logprobs: field.int,
  presence_penalty: field.float,
  frequency_penalty: field.float,
  repetition_penalty: field.float,
  // The chat request reads it, because a seed of 64 bits may be a string.
  seed: field.anything,
  stop: field.texts,
  stop_token_ids: field.ints,
  ignore_eos: field.bool,
  include_stop_str_in_output: field.bool,
  logit_bias: field.object,
  cache_salt: field.text,
  priority: field.int,
});
type ResponsesBody = z.output<typeof ResponsesBody>;

const Format = z.looseObject({ type: z.string(), schema: z.unknown().optional() });
const Part = z.looseObject({ type: z.string(), text: z.string().optional() });
const Item = z.looseObject({
  type: z.string().optional(),
  role: z.string().optional(),
  content: z.unknown().optional(),
});

const NO_STORE =
  'This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.';

export interface ResponsesRequest {
  readonly id: string;
  readonly body: ResponsesBody;
  /** the same request as a chat completion, which has the prompt, the sampling and the choices */
  readonly chat: ChatRequest;
}

/** @throws ApiError with vLLM's status, type and param */
export async function prepareResponses(
  raw: unknown,
  priority: string | undefined,
  engine: Engine,
  gone: AbortSignal,
): Promise<ResponsesRequest> {
  const body = parseBody(ResponsesBody, raw);
  const { names, maxModelLength } = engine.settings;
  checkModel(body.model, names);
  const { tool_choice: choice, previous_response_id: previous, background } = body;
  if (choice !== undefined && choice !== null && choice !== 'auto' && choice !== 'none')
    throw badRequest(
      `Tool choice '${typeof choice === 'string' ? choice : 'function'}' must be specified with 'tools' parameter.`,
      'tool_choice',
    );
  if (background === true) throw stateless(NO_STORE, 400, 'background');
  if (previous !== undefined) throw stateless(`Response with id '${previous}' not found.`, 404, 'response_id');
  const asked = body.max_output_tokens;
  if (asked !== undefined && asked > 0) checkAskedTokens(asked, 'max_output_tokens', maxModelLength);
  const { input: _, instructions: __, text, include, top_logprobs: top, tool_choice: ___, ...shared } = body;
  const format = Format.safeParse(text?.['format']).data;
  const schema = { json_schema: { name: 'answer', schema: format?.schema } };
  const chat = await prepareChat(
    {
      ...shared,
      messages: messagesOf(body),
      max_tokens: asked,
      ...(include?.includes('message.output_text.logprobs') === true ? { logprobs: true, top_logprobs: top ?? 0 } : {}),
      ...(format === undefined ? {} : { response_format: { type: format.type, ...schema } }),
    },
    { requestId: undefined, priority },
    engine,
    gone,
  );
  return { id: `resp_${randomBytes(8).toString('hex')}`, body, chat };
}

function messagesOf({ input, instructions }: ResponsesBody): object[] {
  const before = instructions === undefined || instructions === '' ? [] : [{ role: 'system', content: instructions }];
  if (typeof input === 'string') return [...before, { role: 'user', content: input }];
  return [...before, ...input.map(messageOf)];
}

function messageOf(item: unknown): object {
  const { type, role, content } = Item.parse(item);
  if (role === undefined) throw badRequest(`Unsupported input item type: ${type ?? ''}`, 'input');
  const parts = z.array(Part).safeParse(content).data;
  if (parts === undefined) return { role, content };
  // vLLM reads only the first part of an assistant's message.
  if (role === 'assistant') return { role, content: parts[0]?.text ?? '' };
  return { role, content: parts.map(chatPart) };
}

function chatPart(part: z.output<typeof Part>): object {
  if (part.type === 'input_image') return { type: 'image_url', image_url: { url: part['image_url'] } };
  return { type: part.type.endsWith('_text') ? 'text' : part.type, text: part.text };
}

function stateless(message: string, status: number, param: string): ApiError {
  return new ApiError(status, 'invalid_request_error', message, param);
}
