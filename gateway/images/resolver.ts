import { partPath } from '#contract/chat';
import type { ChatMessage, ChatRequest, ContentPart } from '#contract/chat';
import { Failure } from '#contract/failure';
import { DATA_URI_FORM, decodeHead, isDataUri, parseDataUri } from './data-uri.ts';
import { createImageFetch } from './fetch-image.ts';
import type { Base64Image } from './data-uri.ts';
import type { FetchImage, FetchOptions } from './fetch-image.ts';
import { HEADER_BYTES, sniffImage } from './sniff.ts';
import type { ImageType } from './sniff.ts';
import { isTruncated } from './truncation.ts';

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
   * Fetches what has to be fetched and looks at every picture's first bytes.
   * @param keyId whose picture it is; each key's fetches are limited
   * @throws Failure `invalid_image`, `image_refused`, `image_fetch_failed`, `image_too_large`, `overloaded`, naming the part
   * @throws `signal.reason`, unchanged, when the caller gave up first
   */
  resolve(request: ChatRequest, signal: AbortSignal, keyId?: string): Promise<Resolved>;
}

/** vLLM's VLLM_MAX_IMAGE_PIXELS: it answers 500 to a larger picture, for a fault that is the caller's. */
const MOST_PIXELS = 178_956_970;

/** @throws Error for an entry of `allow` that is no range */
export function createImageResolver(options: FetchOptions): ImageResolver {
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
          loads.set(param, load(part.image_url.url, param, keyId, fetchImage, options.limitBytes, either));
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
  limitBytes: number,
  signal: AbortSignal,
): Promise<Loaded> {
  if (isDataUri(url)) {
    const { base64, bytes } = await parseDataUri(url, param, signal);
    return inspect({ head: decodeHead(base64, HEADER_BYTES), base64, bytes }, param, limitBytes, signal);
  }
  // Base64 alone has no colon; it must never be taken for the name of a host.
  if (!/^[a-z][a-z0-9+.-]{0,31}:/i.test(url.slice(0, 33))) {
    const text = `${param} is neither an http(s) URL nor ${DATA_URI_FORM}`;
    throw new Failure('invalid_image', text, { param });
  }
  const picture = await fetchImage(url, { param, keyId, take: () => true, signal });
  const whole = { head: picture.subarray(0, HEADER_BYTES), base64: picture.toString('base64'), bytes: picture.length };
  return inspect(whole, param, limitBytes, signal);
}

interface Picture extends Base64Image {
  /** the first bytes, at most `HEADER_BYTES` */
  readonly head: Buffer;
}

async function inspect(
  { head, base64, bytes }: Picture,
  param: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<Loaded> {
  if (bytes > limitBytes) {
    const message = `${param} has ${String(bytes)} bytes; at most ${String(limitBytes)} are taken`;
    throw new Failure('image_too_large', message, { param, asked: bytes, allowed: limitBytes });
  }
  const sniffed = sniffImage(head);
  if (sniffed === undefined) {
    const like = head.subarray(0, 64).toString('latin1').trimStart().startsWith('<')
      ? ' (it begins like SVG or HTML)'
      : '';
    throw new Failure('invalid_image', `${param} is not a whole PNG, JPEG, WebP or GIF picture${like}`, { param });
  }
  const { type, width, height } = sniffed;
  if (width * height > MOST_PIXELS) {
    const message = `${param} has ${String(width)} by ${String(height)} pixels; at most ${String(MOST_PIXELS)} are taken`;
    throw new Failure('image_too_large', message, { param, asked: width * height, allowed: MOST_PIXELS });
  }
  if (await isTruncated(type, base64, bytes, signal))
    throw new Failure('invalid_image', `${param} is a ${type.toUpperCase()} picture that is cut short`, { param });
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
