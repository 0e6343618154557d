import type { ChatMessage, ContentPart, Role } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { fieldsOf, got, isAbsent, isObject, isSet, kind, shortName } from '../reading/fields.ts';
import type { IgnoredNames } from '../reading/fields.ts';
import { HALF_CHARACTER, LIMITS, checkLimit } from '../reading/limits.ts';
import { INPUT_IMAGE, INPUT_PART, ITEM, SAID_PART, type Inside } from '../reading/message-fields.ts';
import { checkConversation } from '../reading/messages.ts';

const IMAGE_FORM = '{"type": "input_image", "image_url": "https://… or data:image/png;base64,…"}';
const ITEM_FORM = '{"role": "user", "content": …}';
/** `developer` becomes `system`, because an engine copies a role that its template does not know into the prompt. */
const ROLES: Readonly<Record<string, Role>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
};
const DETAILS = ['auto', 'low', 'high', 'original'];

/**
 * The `input` of the Responses API: a text, or a conversation as items. Of the items, only messages are supported, and
 * references to those of earlier answers.
 * @throws Failure `invalid_request`, or `unsupported_parameter` for content that would be lost; names the path, never
 * quotes content
 */
export function readInput(value: unknown, ignored: IgnoredNames): ChatMessage[] {
  if (typeof value === 'string') return [{ role: 'user', content: wellFormed(value, 'input') }];
  if (!Array.isArray(value) || value.length === 0)
    throw bad('input', `must be a text or a list of messages, at least one${kind(value)}`);
  checkConversation(value, 'input');
  const last = value.length - 1;
  return value.map((item: unknown, index) => readItem(item, `input[${index}]`, index === last, ignored));
}

function readItem(item: unknown, at: string, isLast: boolean, ignored: IgnoredNames): ChatMessage {
  if (!isObject(item)) throw bad(at, `must be ${ITEM_FORM}${kind(item)}`);
  const type = item['type'] ?? ('role' in item || !('id' in item) ? 'message' : 'item_reference');
  if (type === 'item_reference') return readReference(item, at);
  if (type !== 'message')
    throw unsupported(
      `${at}.type`,
      `must be message${got(type)}; only ${ITEM_FORM} is supported, not tools and stored items`,
    );
  onlyFields(item, ITEM, at, 'input', ignored);
  if (typeof item['id'] === 'string') checkLimit(LIMITS.id, item['id'].length, `${at}.id`);
  const name = item['role'];
  const role = typeof name === 'string' && Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;
  if (role === undefined) throw bad(`${at}.role`, `must be one of system, developer, user, assistant${got(name)}`);
  // An engine would continue it instead of giving a new answer.
  if (isLast && !isAbsent(item['status']) && item['status'] !== 'completed')
    throw unsupported(`${at}.status`, 'must be completed: the gateway does not continue an incomplete answer');
  if (!isAbsent(item['status']) && item['status'] !== 'completed') ignored.add('input.status');
  return { role, content: readContent(item['content'], role, `${at}.content`, ignored) };
}

function readReference(item: Readonly<Record<string, unknown>>, at: string): ChatMessage {
  const { id } = item;
  if (typeof id !== 'string' || id === '') throw bad(`${at}.id`, `must be the id of an item of an answer${kind(id)}`);
  checkLimit(LIMITS.id, id.length, `${at}.id`);
  for (const [name, value] of fieldsOf(item, at))
    if (name !== 'id' && name !== 'type' && isSet(value))
      throw unsupported(`${at}.${shortName(name)}`, 'is not accepted: it would be lost');
  return { role: 'assistant', content: '', reference: id, place: `${at}.id` };
}

function readContent(value: unknown, role: Role, at: string, ignored: IgnoredNames): string | ContentPart[] {
  if (typeof value === 'string') return wellFormed(value, at);
  if (!Array.isArray(value) || value.length === 0) throw bad(at, `must be a text or a list of parts${kind(value)}`);
  const partAt = (index: number): string => `${at}[${index}]`;
  if (role !== 'assistant') return value.map((part: unknown, index) => readPart(part, partAt(index), ignored));
  // Joined to one text, because vLLM reads only the first part of an assistant's message.
  return value.map((part: unknown, index) => readSaid(part, partAt(index), ignored)).join('');
}

function readPart(part: unknown, at: string, ignored: IgnoredNames): ContentPart {
  if (!isObject(part)) throw bad(at, `must be {"type": "input_text", "text": "…"} or ${IMAGE_FORM}${kind(part)}`);
  if (part['type'] === 'input_text') {
    onlyFields(part, INPUT_PART, at, 'content', ignored);
    return { type: 'text', text: textOf(part, at) };
  }
  if (part['type'] !== 'input_image')
    throw bad(`${at}.type`, `must be input_text or input_image${got(part['type'])}; a picture is ${IMAGE_FORM}`);
  onlyFields(part, INPUT_IMAGE, at, 'content', ignored);
  const url = part['image_url'];
  if (typeof url !== 'string' || url === '') throw bad(`${at}.image_url`, `must be as in ${IMAGE_FORM}${kind(url)}`);
  const detail = part['detail'] ?? 'auto';
  if (typeof detail !== 'string' || !DETAILS.includes(detail))
    throw bad(`${at}.detail`, `must be one of ${DETAILS.join(', ')}${got(detail)}`);
  return { type: 'image_url', image_url: { url, detail } };
}

/** A part of an earlier answer. */
function readSaid(part: unknown, at: string, ignored: IgnoredNames): string {
  const type = isObject(part) ? part['type'] : undefined;
  if (!isObject(part) || (type !== 'output_text' && type !== 'input_text' && type !== 'refusal'))
    throw bad(at, 'of an assistant must be {"type": "output_text", "text": "…"}');
  const name = type === 'refusal' ? 'refusal' : 'text';
  const other = name === 'text' ? 'refusal' : 'text';
  if (isSet(part[other])) throw unsupported(`${at}.${other}`, 'is not accepted: it would be lost');
  onlyFields(part, SAID_PART, at, 'content', ignored);
  return textOf(part, at, name);
}

function textOf(part: Readonly<Record<string, unknown>>, at: string, name: 'text' | 'refusal' = 'text'): string {
  const text = part[name];
  if (typeof text !== 'string') throw bad(`${at}.${name}`, `must be a text${kind(text)}`);
  return wellFormed(text, `${at}.${name}`);
}

/** @param told prefix of the names of fields without effect */
function onlyFields(
  value: Readonly<Record<string, unknown>>,
  table: Inside,
  at: string,
  told: string,
  ignored: IgnoredNames,
): void {
  for (const [name, field] of fieldsOf(value, at)) {
    if (!isSet(field)) continue;
    const verdict = Object.hasOwn(table, name) ? table[name] : undefined;
    if (verdict === undefined) throw unsupported(`${at}.${shortName(name)}`, 'is not accepted: it would be lost');
    if (verdict.kind === 'ignored') ignored.add(`${told}.${name}`);
  }
}

function wellFormed(text: string, at: string): string {
  if (text.isWellFormed()) return text;
  throw bad(at, HALF_CHARACTER);
}

function bad(param: string, problem: string): Failure {
  return new Failure('invalid_request', `${param} ${problem}`, { param });
}

function unsupported(param: string, problem: string): Failure {
  return new Failure('unsupported_parameter', `${param} ${problem}`, { param });
}
