import type { PictureBytes } from '../intake/picture-bytes.ts';
import { Failure } from '../failure.ts';
import type { ChatMessage, ChatRequest, JsonValue } from '../request/chat.ts';
import type { Prepared } from '../request/prepare.ts';
import type { Picture } from './provider.ts';

/** Words of the API and of JSON Schema, which say nothing of the caller. Inside a longer text they are judged. */
const API_WORDS: ReadonlySet<string> = new Set(
  (
    'id type index name function custom arguments description parameters strict json_schema json_object schema text ' +
    'format auto none required mode allowed_tools object array string number integer boolean null properties items ' +
    'additionalProperties enum const default anyOf oneOf allOf title pattern minimum maximum'
  ).split(' '),
);

/** What JSON writes as a letter after a backslash. */
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

/**
 * Every text of a request that an engine reads, in the caller's own words. A text that comes twice is judged once.
 * @throws Failure `invalid_request` for prompts of token ids, which no filter can read
 */
export function promptTexts({ messages, prompts, instructions, sampling, messagesParam }: ChatRequest): string[] {
  const texts = new Set<string>();
  if (instructions !== undefined) texts.add(instructions);
  for (const message of messages) addMessage(message, texts);
  for (const [index, prompt] of (prompts ?? []).entries()) {
    if (typeof prompt !== 'string')
      throw unreadable(prompts?.length === 1 ? messagesParam : `${messagesParam}[${index}]`);
    texts.add(prompt);
  }
  // Definitions of tools and forms of answers are parts of the prompt too.
  for (const value of Object.values(sampling)) addAll(value, texts);
  texts.delete('');
  return [...texts];
}

/** The pictures of a request, which are in the order of the conversation in both lists. */
export function promptPictures({ messages, images }: Prepared, pictures: PictureBytes): Picture[] {
  const held = messages.flatMap(({ content }) =>
    typeof content === 'string' || content === null
      ? []
      : content.flatMap((part) => (part.type === 'image_url' ? [pictures.find(part.image_url.url)] : [])),
  );
  return images.map(({ type, param, bytes }, index) => {
    const base64 = held[index];
    if (base64 === undefined) throw new Error('a picture that is not held');
    return { mediaType: `image/${type}`, base64, param, bytes };
  });
}

function addMessage({ content, extra }: ChatMessage, texts: Set<string>): void {
  if (typeof content === 'string') texts.add(content);
  else {
    const parts = (content ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : []));
    for (const part of parts) texts.add(part);
    // A chat template may write them without a space between them.
    texts.add(parts.join(''));
  }
  for (const value of Object.values(extra ?? {})) {
    const own = new Set<string>();
    addAll(value, own);
    for (const text of own) texts.add(text).add(unescaped(text));
  }
}

/** All texts of a value, names of its members included. */
function addAll(value: JsonValue, texts: Set<string>): void {
  if (typeof value === 'string') addText(value, texts);
  else if (Array.isArray(value)) for (const item of value) addAll(item, texts);
  else if (typeof value === 'object' && value !== null)
    for (const [name, item] of Object.entries(value)) {
      // Ids of tokens, in a bias.
      if (!/^\d+$/.test(name)) addText(name, texts);
      addAll(item, texts);
    }
}

function addText(text: string, texts: Set<string>): void {
  if (!API_WORDS.has(text)) texts.add(text);
}

/** Engines read the arguments of a call as JSON. Not all that theirs takes is JSON here, so it is not parsed. */
function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|([^u]))/gi, (_, code: string | undefined, other: string | undefined) =>
    code === undefined ? (CONTROLS[other ?? ''] ?? other ?? '') : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

function unreadable(param: string): Failure {
  const message = `${param} must be a text: the content filter here cannot read token ids`;
  return new Failure('invalid_request', message, { param });
}
