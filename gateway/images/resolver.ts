import { partPath } from '#contract/chat';
import type { ChatMessage, ChatRequest, ContentPart } from '#contract/chat';
import { Failure } from '#contract/failure';
import { Base64Bytes } from './base64-bytes.ts';
import { DATA_URI_FORM, isDataUri, parseDataUri } from './data-uri.ts';
import { createImageFetch } from './fetch-image.ts';
import type { Base64Image } from './data-uri.ts';
import type { FetchImage, FetchOptions } from './fetch-image.ts';
import { measurePicture } from './measure.ts';
import type { ImageType } from './measure.ts';

export interface ImageFacts {
  /** where the URL stands in the caller's body, such as `messages[0].content[1].image_url.url` */
  readonly param: string;
  readonly type: ImageType;
  readonly width: number;
  readonly height: number;
  /** of the picture itself; as base64 it is a third more */
  readonly bytes: number;
}

interface Resolved {
  /** the same conversation, every picture a `data:` URI whose media type is that of its bytes */
  readonly request: ChatRequest;
  /** in the order of the conversation */
  readonly images: readonly ImageFacts[];
}

export interface ImageResolver {
  /**
   * Fetches what has to be fetched and measures every picture.
   * @param keyId whose picture it is; each key's fetches are limited
   * @throws Failure `invalid_image`, `image_refused`, `image_fetch_failed`, `image_too_large`, `overloaded`, naming the part
   * @throws `signal.reason`, unchanged, when the caller gave up first
   */
  resolve(request: ChatRequest, signal: AbortSignal, keyId?: string): Promise<Resolved>;
}

/** of one picture */
interface Limits {
  readonly limitBytes: number;
  /** vLLM has a limit of its own, VLLM_MAX_IMAGE_PIXELS, beyond which it answers 500 */
  readonly limitPixels: number;
}

/** @throws Error for an entry of `allow` that is no range */
export function createImageResolver(options: FetchOptions & Limits): ImageResolver {
  const fetchImage = createImageFetch(options);
  return {
    resolve: async (request, signal, keyId = 'anonymous') => {
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      const loads = new Map<string, Promise<Loaded>>();
      const urlParam = (message: number, part: number): string =>
        `${partPath(request.messagesParam, message, part)}.${request.imageParam ?? 'image_url.url'}`;
      for (const [message, { content }] of request.messages.entries()) {
        if (typeof content === 'string' || content === null) continue;
        for (const [index, part] of content.entries()) {
          if (part.type !== 'image_url') continue;
          const param = urlParam(message, index);
          loads.set(param, load(part.image_url.url, param, keyId, fetchImage, options, either));
        }
      }
      if (loads.size === 0) return { request, images: [] };
      try {
        const loaded = await Promise.all(loads.values());
        const urls = new Map(loaded.map(({ url, facts }) => [facts.param, url]));
        const messages = request.messages.map((message, at) =>
          withUrls(message, (part) => urls.get(urlParam(at, part))),
        );
        return { request: { ...request, messages }, images: loaded.map(({ facts }) => facts) };
      } catch (cause) {
        // The first bad picture decides; the others need not be fetched to the end.
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

async function load(
  url: string,
  param: string,
  keyId: string,
  fetchImage: FetchImage,
  limits: Limits,
  signal: AbortSignal,
): Promise<Loaded> {
  if (isDataUri(url)) {
    const { base64, bytes } = await parseDataUri(url, param, signal);
    return inspect({ base64, bytes }, param, limits, signal);
  }
  // Base64 alone has no colon; it must never be taken for the name of a host.
  if (!/^[a-z][a-z0-9+.-]{0,31}:/i.test(url.slice(0, 33))) {
    const text = `${param} is neither an http(s) URL nor ${DATA_URI_FORM}`;
    throw new Failure('invalid_image', text, { param });
  }
  const picture = await fetchImage(url, { param, keyId, take: () => true, signal });
  return inspect({ base64: picture.toString('base64'), bytes: picture.length }, param, limits, signal);
}

async function inspect(
  { base64, bytes }: Base64Image,
  param: string,
  { limitBytes, limitPixels }: Limits,
  signal: AbortSignal,
): Promise<Loaded> {
  if (bytes > limitBytes) {
    const message = `${param} has ${String(bytes)} bytes; at most ${String(limitBytes)} are taken`;
    throw new Failure('image_too_large', message, { param, asked: bytes, allowed: limitBytes });
  }
  const picture = new Base64Bytes(Buffer.from(base64, 'latin1'), bytes, signal);
  const { type, width, height } = await measurePicture(picture, param);
  const pixels = width * height;
  if (pixels > limitPixels) {
    const size = `${String(width)} by ${String(height)}, ${String(pixels)} pixels`;
    const message = `${param} has ${size}; at most ${String(limitPixels)} are taken: send it smaller`;
    throw new Failure('image_too_large', message, { param, asked: pixels, allowed: limitPixels });
  }
  return { url: `data:image/${type};base64,${base64}`, facts: { param, type, width, height, bytes } };
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
