import { ROLES } from '../../request/chat.ts';
import type { ChatMessage, ContentPart, JsonValue, Role } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import { fieldsOf, got, isAbsent, isJson, isObject, isSet, jsonProblem, kind } from './fields.ts';
import type { IgnoredNames } from './fields.ts';
import { HALF_CHARACTER, LIMITS, checkLimit, type Limit } from './limits.ts';
import { IMAGE_URL, MESSAGE, PART, type Inside } from './message-fields.ts';

const IMAGE_FORM = '{"type": "image_url", "image_url": {"url": "https://… or data:image/png;base64,…"}}';
const TEXT_FORM = '{"type": "text", "text": "…"}';
/** Fields of a message that the engine's chat template reads besides role and content. */
const EXTRAS = {
  name: LIMITS.name,
  tool_calls: LIMITS.toolCalls,
  tool_call_id: LIMITS.id,
} as const satisfies Record<string, Limit>;
const EXTRA_NAMES = ['name', 'tool_calls', 'tool_call_id'] as const;
/** An assistant's earlier reasoning: vLLM's name, and its former one. */
const THOUGHTS = ['reasoning', 'reasoning_content'] as const;
/** Payloads of a part; if a part had two of them, one would be lost. */
const PAYLOADS = ['text', 'image_url', 'refusal'] as const;
/** The payload by type, of all parts except an assistant's; vLLM also reads the types of `/v1/responses`. */
const ASKED: ReadonlyMap<unknown, (typeof PAYLOADS)[number]> = new Map([
  ['text', 'text'],
  ['input_text', 'text'],
  ['output_text', 'text'],
  ['image_url', 'image_url'],
  ['input_image', 'image_url'],
]);
/** The same for an assistant's parts, with earlier refusals, which OpenAI's typed clients send back. */
const SAID: typeof ASKED = new Map([...ASKED, ['refusal', 'refusal']]);

/**
 * Reads a conversation; every dialect's messages have OpenAI's form. `developer` becomes `system`. No other role may
 * pass, because an engine copies a role that its template does not know into the prompt (source: vLLM).
 * @param at path of the list in the caller's body, such as `input_data.input_string`
 * @throws Failure `invalid_request` or `unsupported_parameter`, naming message, part and field; never quoting content
 */
export function readMessages(value: unknown, at: string, ignored: IgnoredNames): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    throw bad(
      at,
      `must be a list of messages, at least one${Array.isArray(value) ? ', got an empty list' : kind(value)}`,
    );
  checkConversation(value, at);
  return value.map((message: unknown, index) => readMessage(message, `${at}[${index}]`, ignored));
}

/** Counts messages and their parts before reading any. */
export function checkConversation(messages: readonly unknown[], at: string): void {
  checkLimit(LIMITS.messages, messages.length, at);
  let parts = 0;
  for (const message of messages)
    if (isObject(message) && Array.isArray(message['content'])) parts += message['content'].length;
  checkLimit(LIMITS.parts, parts, at);
}

function readMessage(value: unknown, at: string, ignored: IgnoredNames): ChatMessage {
  if (!isObject(value)) throw bad(at, `must be {"role": …, "content": …}${kind(value)}`);
  const fields = fieldsOf(value, at);
  refuseInside(value, MESSAGE, at);
  const { role: givenRole, content: givenContent, ...rest } = value;
  const role = readRole(givenRole, `${at}.role`);
  const said = readContent(givenContent, role, `${at}.content`, ignored);
  const refusal = role === 'assistant' && !isSet(said) ? rest['refusal'] : undefined;
  const content = isSet(refusal) ? readText(refusal, `${at}.refusal`) : said;
  const thoughts = role === 'assistant' ? THOUGHTS.filter((name) => !isAbsent(rest[name])) : [];
  const [thought] = thoughts.filter((name) => readText(rest[name], `${at}.${name}`) !== '');
  const extra: Record<string, JsonValue> = {};
  for (const name of EXTRA_NAMES) {
    const field = rest[name];
    if (isAbsent(field) || (Array.isArray(field) && field.length === 0)) continue;
    if (typeof field === 'string' || Array.isArray(field)) checkLimit(EXTRAS[name], field.length, `${at}.${name}`);
    if (name === 'tool_calls' && Array.isArray(field)) checkCalls(field, `${at}.tool_calls`);
    const fits = name === 'tool_calls' ? Array.isArray(field) && field.every(isObject) : typeof field === 'string';
    if (!fits)
      throw bad(`${at}.${name}`, `must be ${name === 'tool_calls' ? 'a list of calls' : 'a text'}${kind(field)}`);
    if (!isJson(field)) throw bad(`${at}.${name}`, jsonProblem(field) ?? 'is not valid JSON');
    extra[name] = field;
  }
  if (thought !== undefined) extra['reasoning'] = readText(rest[thought], `${at}.${thought}`);
  const read: readonly unknown[] = ['role', 'content', ...EXTRA_NAMES, isSet(refusal) ? 'refusal' : undefined, thought];
  for (const [name, field] of fields) if (isSet(field) && !read.includes(name)) ignored.add(`messages.${name}`);
  return Object.keys(extra).length === 0 ? { role, content } : { role, content, extra };
}

function checkCalls(calls: readonly unknown[], at: string): void {
  for (const [index, call] of calls.entries()) {
    const said = isObject(call) && isObject(call['function']) ? call['function']['arguments'] : undefined;
    const inside = `${at}[${index}].function.arguments`;
    const type = isObject(call) ? (call['type'] ?? 'function') : 'function';
    if (type !== 'function') throw bad(`${at}[${index}].type`, `must be function${got(type)}`);
    if (typeof said === 'string') checkLimit(LIMITS.toolArguments, said.length, inside);
  }
}

function readRole(value: unknown, at: string): Role {
  const name = value === 'developer' ? 'system' : value;
  const role = ROLES.find((known) => known === name);
  if (role === undefined) throw bad(at, `must be one of system, developer, user, assistant, tool${got(value)}`);
  return role;
}

function readContent(value: unknown, role: Role, at: string, ignored: IgnoredNames): ChatMessage['content'] {
  if (typeof value === 'string') return wellFormed(value, at);
  if (isAbsent(value) && role === 'assistant') return null;
  if (!Array.isArray(value)) throw bad(at, `must be a text or a list of parts${kind(value)}`);
  return value.map((part: unknown, index) => readPart(part, role, `${at}[${index}]`, ignored));
}

function readPart(value: unknown, role: Role, at: string, ignored: IgnoredNames): ContentPart {
  if (typeof value === 'string') return { type: 'text', text: wellFormed(value, at) };
  if (!isObject(value)) throw bad(at, `must be a text, ${TEXT_FORM} or ${IMAGE_FORM}${kind(value)}`);
  refuseInside(value, PART, at);
  for (const [name, field] of fieldsOf(value, at))
    if (isSet(field) && PART[name]?.kind !== 'own') ignored.add(`content.${name}`);
  const types = role === 'assistant' ? SAID : ASKED;
  const { type } = value;
  const payload = isAbsent(type) && isSet(value['image_url']) ? 'image_url' : types.get(type);
  if (payload === undefined) {
    const names = [...types.keys()].join(', ');
    throw bad(`${at}.type`, `must be one of ${names}${got(type)}; a picture is ${IMAGE_FORM}`);
  }
  for (const name of PAYLOADS)
    if (name !== payload && isSet(value[name]))
      throw unsupported(
        `${at}.${name}`,
        `is not accepted in a part of type ${typeof type === 'string' ? type : payload}: it would be lost`,
      );
  if (payload === 'image_url')
    return { type: payload, image_url: { url: readUrl(value[payload], `${at}.image_url`, ignored) } };
  return { type: 'text', text: readText(value[payload], `${at}.${payload}`) };
}

function readUrl(value: unknown, at: string, ignored: IgnoredNames): string {
  if (typeof value === 'string' && value !== '') return value;
  if (!isObject(value)) throw bad(at, `must be {"url": "https://… or data:image/png;base64,…"}${kind(value)}`);
  refuseInside(value, IMAGE_URL, at);
  for (const [name, field] of fieldsOf(value, at))
    if (isSet(field) && IMAGE_URL[name]?.kind !== 'own') ignored.add(`image_url.${name}`);
  const url = value['url'];
  if (typeof url === 'string' && url !== '') return url;
  throw bad(`${at}.url`, `must be an http(s) URL or data:image/png;base64,…${kind(url)}`);
}

/** @throws Failure `unsupported_parameter` for a set field that the table refuses */
function refuseInside(value: Readonly<Record<string, unknown>>, table: Inside, at: string): void {
  for (const [name, verdict] of Object.entries(table))
    if (verdict.kind === 'refused' && isSet(value[name]))
      throw unsupported(`${at}.${name}`, `is not accepted: ${verdict.why}`);
}

function readText(value: unknown, at: string): string {
  if (typeof value !== 'string') throw bad(at, `must be a text${kind(value)}`);
  return wellFormed(value, at);
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
