import type { Task } from '../engine/task.ts';
import type { Choice } from '../generate/gathered-answer.ts';
import type { ServedModel } from '../generate/served-model.ts';
import { requestMetrics, wholeUsage } from '../generate/usage.ts';
import { chatLogprobs } from '../text/logprobs.ts';
import { promptIds } from '../text/prompt.ts';
import { tokenId } from '../text/tokens.ts';
import type { ChatRequest } from './request.ts';

/** The body of a chat answer that is not streamed. */
export function chatBody(
  request: ChatRequest,
  model: ServedModel,
  choices: readonly Choice[],
  completionTokens: number,
  task: Task,
): object {
  const { settings } = model;
  const { alternatives, showsIds } = request;
  return {
    id: request.id,
    object: 'chat.completion',
    created: model.nowSeconds(),
    model: model.name,
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, request, model),
      logprobs:
        alternatives === undefined
          ? null
          : { content: choice.pieces.flatMap((piece) => chatLogprobs(piece, alternatives).content) },
      finish_reason: request.call?.isNamed === false && choice.finish === 'stop' ? 'tool_calls' : choice.finish,
      stop_reason: choice.stopReason,
      token_ids: showsIds ? choice.pieces.map(tokenId) : null,
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
    prompt_token_ids: showsIds ? promptIds(request.prompt) : null,
    prompt_text: null,
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: settings.perRequestMetrics ? { ...requestMetrics(task), speculative_decoding: null } : null,
  };
}

function messageOf({ text, finish }: Choice, { call }: ChatRequest, model: ServedModel): object {
  // The parser finds a call only in a complete text; a named one needs no parser.
  const isCall = call !== undefined && (call.isNamed || finish === 'stop');
  const raw = call === undefined ? text : `<tool_call>{"name": "${call.name}", "arguments": ${text}`;
  const calls = isCall
    ? { tool_calls: [{ id: model.callId(), type: 'function', function: { name: call.name, arguments: text } }] }
    : {};
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
