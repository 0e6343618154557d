import type { ChatMessage, ContentPart, JsonValue } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { fieldsOf, got, isAbsent, isJson, isObject, isSet, jsonProblem, kind } from '../reading/fields.ts';
import type { IgnoredNames } from '../reading/fields.ts';
import { HALF_CHARACTER, LIMITS, checkLimit } from '../reading/limits.ts';
import { checkConversation } from '../reading/messages.ts';
import { BLOCK } from './fields.ts';

const IMAGE_FORM =
  '{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "…"}} or {"type": "url", "url": "https://…"} as its source';
const MEDIA_TYPES: readonly unknown[] = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'];

type Block = Readonly<Record<string, unknown>>;

/**
 * Reads Anthropic's `system` and `messages` into normalised messages. Results of tools become separate messages, before
 * the rest of the message that held them.
 * @throws Failure `invalid_request` or `unsupported_parameter`, naming message, block and field; never quoting content
 */
export function readConversation(system: unknown, messages: unknown, ignored: IgnoredNames): ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0)
    throw bad('messages', `must be a list of messages, at least one${kind(messages)}`);
  checkConversation(messages, 'messages');
  return [
    ...readSystem(system, ignored),
    ...messages.flatMap((message: unknown, index) => readMessage(message, `messages[${index}]`, ignored)),
  ];
}

function readSystem(system: unknown, ignored: IgnoredNames): ChatMessage[] {
  if (!isSet(system)) return [];
  const place = 'system';
  if (typeof system === 'string') return [{ role: 'system', content: wellFormed(system, place), place }];
  return [{ role: 'system', content: textsOf(system, place, ignored), place }];
}

function readMessage(message: unknown, at: string, ignored: IgnoredNames): ChatMessage[] {
  if (!isObject(message)) throw bad(at, `must be {"role": …, "content": …}${kind(message)}`);
  for (const [name, field] of fieldsOf(message, at))
    if (isSet(field) && name !== 'role' && name !== 'content') ignored.add(`messages.${name}`);
  const { role, content } = message;
  const place = `${at}.content`;
  if (role !== 'user' && role !== 'assistant' && role !== 'system')
    throw bad(`${at}.role`, `must be user, assistant or system${got(role)}`);
  if (typeof content === 'string') return [{ role, content: wellFormed(content, place), place }];
  if (role === 'system') return [{ role, content: textsOf(content, place, ignored), place }];
  const blocks = blocksOf(content, place, ignored);
  return role === 'user' ? readUser(blocks, place, ignored) : [readAssistant(blocks, place)];
}

function readUser(blocks: readonly Block[], place: string, ignored: IgnoredNames): ChatMessage[] {
  const results: ChatMessage[] = [];
  const parts: ContentPart[] = [];
  for (const [index, block] of blocks.entries()) {
    const at = `${place}[${index}]`;
    if (block['type'] === 'tool_result') results.push(readResult(block, at, ignored));
    else if (block['type'] === 'image') parts.push({ type: 'image_url', image_url: { url: readSource(block, at) } });
    else if (block['type'] === 'text') parts.push({ type: 'text', text: readText(block['text'], `${at}.text`) });
    else throw unknownType(block, at, 'text, image or tool_result');
  }
  return parts.length === 0 && results.length > 0 ? results : [...results, { role: 'user', content: parts, place }];
}

/** Joined to one text, because vLLM reads only the first part of an assistant's message. */
function readAssistant(blocks: readonly Block[], place: string): ChatMessage {
  let text = '';
  const calls: JsonValue[] = [];
  for (const [index, block] of blocks.entries()) {
    const at = `${place}[${index}]`;
    if (block['type'] === 'text') text += readText(block['text'], `${at}.text`);
    else if (block['type'] === 'tool_use') calls.push(readUse(block, at));
    else throw unknownType(block, at, 'text or tool_use');
  }
  checkLimit(LIMITS.toolCalls, calls.length, place);
  const extra = calls.length === 0 ? {} : { extra: { tool_calls: calls } };
  return { role: 'assistant', content: text === '' && calls.length > 0 ? null : text, ...extra, place };
}

function readUse({ id, name, input }: Block, at: string): JsonValue {
  const call = { id: readName(id, `${at}.id`, LIMITS.id), name: readName(name, `${at}.name`, LIMITS.name) };
  if (!isObject(input)) throw bad(`${at}.input`, `must be an object${kind(input)}`);
  if (!isJson(input)) throw bad(`${at}.input`, jsonProblem(input) ?? 'is not valid JSON');
  const text = JSON.stringify(input);
  checkLimit(LIMITS.toolArguments, text.length, `${at}.input`);
  return { id: call.id, type: 'function', function: { name: call.name, arguments: text } };
}

function readResult(block: Block, at: string, ignored: IgnoredNames): ChatMessage {
  const { tool_use_id: id, content } = block;
  const place = `${at}.content`;
  const extra = { tool_call_id: readName(id, `${at}.tool_use_id`, LIMITS.id) };
  const text = typeof content === 'string' ? wellFormed(content, place) : undefined;
  return { role: 'tool', content: text ?? (isAbsent(content) ? '' : textsOf(content, place, ignored)), extra, place };
}

/** A picture's `data:` URI or address. Its declared media type is ignored; its bytes decide. */
function readSource({ source }: Block, at: string): string {
  if (!isObject(source)) throw bad(`${at}.source`, `must be as in ${IMAGE_FORM}${kind(source)}`);
  const { type, media_type: mediaType, data, url } = source;
  if (type === 'url') return readName(url, `${at}.source.url`);
  if (type === 'file') throw unsupported(`${at}.source`, 'is not accepted: nothing is stored here');
  if (type !== 'base64') throw bad(`${at}.source.type`, `must be base64 or url${got(type)}`);
  if (!MEDIA_TYPES.includes(mediaType))
    throw bad(`${at}.source.media_type`, `must be one of ${MEDIA_TYPES.join(', ')}${got(mediaType)}`);
  return `data:${String(mediaType)};base64,${readName(data, `${at}.source.data`)}`;
}

function textsOf(value: unknown, at: string, ignored: IgnoredNames): ContentPart[] {
  return blocksOf(value, at, ignored).map((block, index) => {
    const inside = `${at}[${index}]`;
    if (block['type'] !== 'text') throw unknownType(block, inside, 'text');
    return { type: 'text', text: readText(block['text'], `${inside}.text`) };
  });
}

function blocksOf(value: unknown, at: string, ignored: IgnoredNames): readonly Block[] {
  if (!Array.isArray(value)) throw bad(at, `must be a text or a list of blocks${kind(value)}`);
  checkLimit(LIMITS.parts, value.length, at);
  return value.map((block: unknown, index) => {
    if (!isObject(block)) throw bad(`${at}[${index}]`, `must be {"type": "text", "text": "…"}${kind(block)}`);
    for (const [name, field] of fieldsOf(block, `${at}[${index}]`))
      if (isSet(field) && BLOCK[name]?.kind !== 'own') ignored.add(`content.${name}`);
    return block;
  });
}

/** @param limit of an id or a name; absent for a picture, which has its own limits */
function readName(value: unknown, at: string, limit?: (typeof LIMITS)['id' | 'name']): string {
  if (typeof value !== 'string' || value === '') throw bad(at, `must be a text, not empty${kind(value)}`);
  if (limit !== undefined) checkLimit(limit, value.length, at);
  return wellFormed(value, at);
}

function readText(value: unknown, at: string): string {
  if (typeof value !== 'string') throw bad(at, `must be a text${kind(value)}`);
  return wellFormed(value, at);
}

function wellFormed(text: string, at: string): string {
  if (text.isWellFormed()) return text;
  throw bad(at, HALF_CHARACTER);
}

function unknownType({ type }: Block, at: string, wanted: string): Failure {
  if (type === 'thinking' || type === 'redacted_thinking')
    return unsupported(
      at,
      'is not accepted: the models here cannot read the reasoning of another model; leave the block out',
    );
  return bad(`${at}.type`, `must be ${wanted}${got(type)}; a picture is ${IMAGE_FORM}`);
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}

function unsupported(param: string, problem: string): Failure {
  return new Failure('unsupported_parameter', `${param} ${problem}`, { param });
}
