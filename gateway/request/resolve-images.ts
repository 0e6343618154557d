import { contentPath } from './chat.ts';
import type { ChatMessage, ChatRequest, ContentPart } from './chat.ts';
import { Failure } from '../failure.ts';
import { Base64Bytes } from '../images/formats/base64-bytes.ts';
import { DATA_URI_FORM, base64Length, checkBase64, encodeBase64, parseDataUri } from '../images/data-uri.ts';
import { withoutEscapes } from '../images/formats/escaped-base64.ts';
import { createImageFetch } from '../images/fetch/fetch-image.ts';
import type { Base64Text } from '../images/data-uri.ts';
import type { FetchImage, FetchOptions } from '../images/fetch/fetch-image.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';
import { measurePicture } from '../images/formats/measure.ts';
import type { ImageType, Measured } from '../images/formats/measure.ts';

export interface ImageFacts {
  /** path of the URL in the caller's body, such as `messages[0].content[1].image_url.url` */
  readonly param: string;
  readonly type: ImageType;
  readonly width: number;
  readonly height: number;
  /** of the picture itself; as base64 it is a third more */
  readonly bytes: number;
}

interface Resolved {
  /** the same conversation, with a marker for each picture's `data:` URI, whose media type is that of its bytes */
  readonly request: ChatRequest;
  /** in the order of the conversation */
  readonly images: readonly ImageFacts[];
}

export interface ImageResolver {
  /**
   * Fetches pictures if necessary and measures each one.
   * @param pictures the pictures held back from the request's body; resolved ones are held there too
   * @param keyId the caller's key, whose fetches are limited
   * @throws Failure `invalid_image`, `image_refused`, `image_fetch_failed`, `image_too_large`, `overloaded`, naming the
   * part
   * @throws `signal.reason`, unchanged, if the caller left first
   */
  resolve(request: ChatRequest, pictures: PictureBytes, signal: AbortSignal, keyId?: string): Promise<Resolved>;
}

/** for one picture */
interface Limits {
  readonly limitBytes: number;
  /** vLLM has its own limit, VLLM_MAX_IMAGE_PIXELS, above which it answers 500 */
  readonly limitPixels: number;
}

/** @throws Error for an entry of `allow` that is no range */
export function createImageResolver(options: FetchOptions & Limits): ImageResolver {
  const fetchImage = createImageFetch(options);
  return {
    resolve: async (request, pictures, signal, keyId = 'anonymous') => {
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      const loads = new Map<string, Promise<Loaded>>();
      const partOf = (at: number, part: number): string => `${at} ${part}`;
      const urlParam = (message: ChatMessage, at: number, part: number): string =>
        `${contentPath(request.messagesParam, message, at)}[${part}].${request.imageParam ?? 'image_url.url'}`;
      for (const [at, message] of request.messages.entries()) {
        const { content } = message;
        if (typeof content === 'string' || content === null) continue;
        for (const [index, part] of content.entries()) {
          if (part.type !== 'image_url') continue;
          const param = urlParam(message, at, index);
          loads.set(
            partOf(at, index),
            load(part.image_url.url, { param, keyId, pictures, signal: either }, fetchImage, options),
          );
        }
      }
      if (loads.size === 0) return { request, images: [] };
      try {
        const loaded = await Promise.all(loads.values());
        const urls = new Map([...loads.keys()].map((part, index) => [part, loaded[index]?.url]));
        const messages = request.messages.map((message, at) => withUrls(message, (part) => urls.get(partOf(at, part))));
        return { request: { ...request, messages }, images: loaded.map(({ facts }) => facts) };
      } catch (cause) {
        // The first bad picture decides; the other fetches are stopped.
        stop.abort();
        await Promise.allSettled(loads.values());
        throw cause;
      }
    },
  };
}

interface Loaded {
  readonly url: string;
  readonly facts: ImageFacts;
}

/** One picture of a request. */
interface Wanted {
  readonly param: string;
  readonly keyId: string;
  readonly pictures: PictureBytes;
  readonly signal: AbortSignal;
}

async function load(url: string, wanted: Wanted, fetchImage: FetchImage, limits: Limits): Promise<Loaded> {
  const { param, pictures, signal } = wanted;
  const text = await readPicture(url, wanted, fetchImage);
  const facts = { param, ...(await inspect(text, param, limits, signal)), bytes: text.bytes };
  return { url: `data:image/${facts.type};base64,${pictures.hold(text.base64, true)}`, facts };
}

async function readPicture(url: string, wanted: Wanted, fetchImage: FetchImage): Promise<Base64Text> {
  const { param, keyId, pictures, signal } = wanted;
  // Short pictures, and those in other fields, are still in the text.
  if (/^data:/i.test(url.slice(0, 5))) {
    const held = pictures.find(url);
    const bytes = held === undefined ? Buffer.from(url.slice('data:'.length)) : await withoutEscapes(held, signal);
    // The held bytes are everything after the scheme. Of a field with base64 only, they are the base64.
    return held !== undefined && url.includes(',')
      ? checkBase64(bytes, param, signal)
      : parseDataUri(bytes, param, signal);
  }
  // Base64 has no colon; it must never be taken for a host name.
  if (!/^[a-z][a-z0-9+.-]{0,31}:/i.test(url.slice(0, 33)))
    throw new Failure('invalid_image', `${param} is neither an http(s) URL nor ${DATA_URI_FORM}`, { param });
  const take = (bytes: number): boolean => pictures.memory.take(base64Length(bytes));
  return encodeBase64(await fetchImage(url, { param, keyId, take, signal }));
}

/** @throws Failure `invalid_image`, `image_too_large` */
async function inspect(
  { base64, bytes }: Base64Text,
  param: string,
  { limitBytes, limitPixels }: Limits,
  signal: AbortSignal,
): Promise<Measured> {
  if (bytes > limitBytes) {
    const message = `${param} has ${bytes} bytes; at most ${limitBytes} are taken`;
    throw new Failure('image_too_large', message, { param, asked: bytes, allowed: limitBytes });
  }
  const measured = await measurePicture(new Base64Bytes(base64, bytes, signal), param);
  const { width, height } = measured;
  const pixels = width * height;
  if (pixels > limitPixels) {
    const size = `${width} by ${height}, ${pixels} pixels`;
    const message = `${param} has ${size}; at most ${limitPixels} are taken: send it smaller`;
    throw new Failure('image_too_large', message, { param, asked: pixels, allowed: limitPixels });
  }
  return measured;
}

function withUrls(message: ChatMessage, urlOf: (part: number) => string | undefined): ChatMessage {
  const { content } = message;
  if (typeof content === 'string' || content === null) return message;
  const withUrl = (part: ContentPart, index: number): ContentPart => {
    const url = urlOf(index);
    return url === undefined || part.type !== 'image_url' ? part : { ...part, image_url: { ...part.image_url, url } };
  };
  return { ...message, content: content.map(withUrl) };
}
