import { z } from 'zod';
import type { ChatRequest, JsonValue } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { Dialect } from './dialect.ts';
import { IgnoredNames, fieldsOf, got, isAbsent, isObject, readField } from './fields.ts';
import { BODY, HALF_CHARACTER } from './limits.ts';
import { readMessages } from './messages.ts';
import { STEERING, openaiAnswers, readEnvelope, refuseFields } from './openai-envelope.ts';
import { readTools } from './sampling.ts';

const REFUSED: Readonly<Record<string, string>> = {
  ...STEERING,
  mm_processor_kwargs: 'the model card decides it',
  media_io_kwargs: 'the model card decides it',
  chat_template: "the model's own template is used",
  chat_template_kwargs: "the model's own template is used",
};
export const FLAGS = [
  'add_special_tokens',
  'add_generation_prompt',
  'continue_final_message',
  'return_token_strs',
] as const;
const FLAG = { schema: z.boolean(), form: 'true or false' };
const READ: ReadonlySet<string> = new Set(['model', 'prompt', 'messages', 'tools', 'tool_choice', ...FLAGS]);

/** `/tokenize`, as vLLM has it: the tokens of a text, or of a conversation with its pictures, as a request would have them. */
export const openaiTokenize: Dialect = { ...openaiAnswers, parse };

function parse(body: unknown): ChatRequest {
  if (!isObject(body)) throw new Failure('invalid_request', 'the body must be a JSON object with a prompt or messages');
  const fields = fieldsOf(body, BODY);
  refuseFields(body, REFUSED);
  const ignored = new IgnoredNames();
  const { prompt, messages } = body;
  if (isAbsent(prompt) === isAbsent(messages))
    throw bad('prompt', `must be given, or messages in its place${isAbsent(prompt) ? '' : ', not both'}`);
  const sampling: Record<string, JsonValue> = { ...readTools(body) };
  for (const name of FLAGS) if (!isAbsent(body[name])) sampling[name] = readField(FLAG, body[name], name);
  for (const [name, value] of fields) if (!READ.has(name) && !isAbsent(value)) ignored.add(name);
  const asked = isAbsent(prompt)
    ? { messages: readMessages(messages, 'messages', ignored), messagesParam: 'messages' }
    : { messages: [], prompts: [readText(prompt)] as const, messagesParam: 'prompt' };
  const envelope = readEnvelope({ model: body['model'] }, [], sampling, ignored);
  return { ...envelope, ...asked, route: '/tokenize', sampling, ignored: ignored.list() };
}

function readText(value: unknown): string {
  if (typeof value !== 'string') throw bad('prompt', `must be a text${got(value)}`);
  if (!value.isWellFormed()) throw bad('prompt', HALF_CHARACTER);
  return value;
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}
