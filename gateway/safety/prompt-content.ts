import type { PictureBytes } from '../intake/picture-bytes.ts';
import { Failure } from '../failure.ts';
import type { ChatMessage, ChatRequest, JsonValue } from '../request/chat.ts';
import type { Prepared } from '../request/prepare.ts';
import type { Picture } from './provider.ts';

/** Values of such fields are no words of the caller: ids, and words of the API. */
const NO_WORDS: ReadonlySet<string> = new Set(['id', 'type', 'tool_call_id']);

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
  addValues(sampling, texts);
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
  else for (const part of content ?? []) if (part.type === 'text') texts.add(part.text);
  addValues(extra ?? {}, texts);
}

function addValues(value: JsonValue | ChatRequest['sampling'], texts: Set<string>): void {
  if (typeof value === 'string') texts.add(value);
  else if (Array.isArray(value)) for (const item of value) addValues(item, texts);
  else if (typeof value === 'object' && value !== null)
    for (const [name, item] of Object.entries(value)) if (!NO_WORDS.has(name)) addValues(item, texts);
}

function unreadable(param: string): Failure {
  const message = `${param} must be a text: the content filter here cannot read token ids`;
  return new Failure('invalid_request', message, { param });
}
