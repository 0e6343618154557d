import { z } from 'zod';
import { Failure } from '../../failure.ts';

/** Source of all forms here: the types of `@anthropic-ai/sdk` 1.14 and Anthropic's page on the Messages API. */

const EngineUsage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int().default(0) });
type EngineUsage = z.infer<typeof EngineUsage>;
const Ended = { finish_reason: z.string().nullish(), stop_reason: z.union([z.string(), z.number()]).nullish() };
type Ended = z.infer<z.ZodObject<typeof Ended>>;
const Piece = {
  content: z.string().nullish(),
  tool_calls: z
    .array(
      z.object({
        index: z.int().default(0),
        id: z.string().nullish(),
        function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }),
      }),
    )
    .nullish(),
};
const Whole = z.object({
  id: z.string(),
  model: z.string(),
  choices: z.tuple([z.object({ ...Ended, message: z.object(Piece) })]),
  usage: EngineUsage,
});
/** An event of an engine's stream. */
export const Chunk = z.object({
  id: z.string(),
  model: z.string(),
  choices: z.array(z.object({ ...Ended, delta: z.object(Piece) })),
  usage: EngineUsage.nullish(),
});
const Counted = z.object({ count: z.int() });

/** @param engineBody an engine's chat completion @throws Failure `engine_failed` */
export function messageOf(engineBody: Buffer): object {
  const { choices, usage, ...of } = read(Whole, engineBody);
  const [{ message, ...ended }] = choices;
  const { content, tool_calls: calls } = message;
  const text = (content ?? '') === '' ? [] : [{ type: 'text', text: content }];
  const uses = (calls ?? []).map(({ id, function: { name, arguments: input } }) => ({
    type: 'tool_use',
    id,
    name,
    input: inputOf(input),
  }));
  return newMessage(of, [...text, ...uses], stopOf(ended), usageOf(usage));
}

/** The message that a stream completes. */
export function emptyMessage(of: { id: string; model: string }, usage: EngineUsage | null | undefined): object {
  return newMessage(of, [], { stop_reason: null, stop_sequence: null }, usageOf(usage));
}

/** @param engineBody an engine's answer to `/tokenize` @throws Failure `engine_failed` */
export function countOf(engineBody: Buffer): object {
  return { input_tokens: read(Counted, engineBody).count };
}

/** Why an answer ended. An engine reports which stop sequence ended it. */
export function stopOf({ finish_reason: reason, stop_reason: said }: Ended): object {
  if (reason === 'stop' && typeof said === 'string') return { stop_reason: 'stop_sequence', stop_sequence: said };
  return { stop_reason: REASONS[reason ?? ''] ?? 'end_turn', stop_sequence: null };
}
const REASONS: Readonly<Record<string, string>> = {
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
};

export function usageOf(usage: EngineUsage | null | undefined): object {
  return { input_tokens: usage?.prompt_tokens ?? 0, output_tokens: usage?.completion_tokens ?? 0 };
}

function newMessage(of: { id: string; model: string }, content: object[], stop: object, usage: object): object {
  const id = `msg_${of.id.replace(/^chatcmpl-/, '')}`;
  return { id, type: 'message', role: 'assistant', model: of.model, content, ...stop, usage };
}

/** A call without arguments has an empty string. */
function inputOf(text: string | null | undefined): object {
  return read(z.record(z.string(), z.unknown()), (text ?? '') === '' ? '{}' : (text ?? ''));
}

function read<T>(schema: z.ZodType<T>, json: Buffer | string): T {
  try {
    return schema.parse(JSON.parse(json.toString()));
  } catch (cause) {
    throw new Failure('engine_failed', 'the model sent an answer that cannot be read', { cause });
  }
}
