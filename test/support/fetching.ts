import { createImageFetch, type FetchOptions } from '../../gateway/images/fetch/fetch-image.ts';

/** Place of these tests' pictures in the body. */
export const PARAM = 'messages[0].content[0].image_url.url';

/** Fetches for one key, from loopback, with only the given limits. */
export function fetching(options: Partial<FetchOptions> = {}) {
  const fetchImage = createImageFetch({ allow: ['127.0.0.1'], timeoutMs: 20_000, limitBytes: 100_000, ...options });
  return (url: string, more: Partial<Parameters<typeof fetchImage>[1]> = {}) =>
    fetchImage(url, { param: PARAM, keyId: 'key', take: () => true, signal: new AbortController().signal, ...more });
}
