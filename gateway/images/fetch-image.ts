import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { Failure, isFailure } from '#contract/failure';
import { shortHost } from './address-guard.ts';
import type { AddressGuard } from './address-guard.ts';

export interface FetchLimits {
  /** for the whole of it, redirects included, in milliseconds */
  readonly timeoutMs: number;
  readonly limitBytes: number;
}

const MOST_REDIRECTS = 3;
const LONGEST_URL = 8_192;
const HEADERS = {
  accept: 'image/png, image/jpeg, image/webp, image/gif',
  'accept-encoding': 'identity',
  'user-agent': 'penstock',
};

/**
 * Fetches a picture by http(s). Every host, also behind a redirect, passes the guard, and the address that it checked is
 * the one connected to. Nothing of the URL but its host gets into a message.
 * @param param where the URL stands in the caller's body
 * @throws Failure `invalid_image`, `image_refused`, `image_fetch_failed`, `image_too_large`
 * @throws `signal.reason`, unchanged, when the caller gave up first
 */
export async function fetchImage(
  url: string,
  param: string,
  guard: AddressGuard,
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<Buffer> {
  let target = parseUrl(url, undefined, param);
  // One agent a picture: no connection, and no name once resolved, outlives the request that it was checked for.
  // Its own time limits are off: one clock runs over all hops.
  const agent = new Agent({
    connect: { lookup: guard.lookupFor(param), timeout: 0 },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const timeout = AbortSignal.timeout(limits.timeoutMs);
  try {
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      guard.checkHost(target.hostname, param);
      const options = { dispatcher: agent, headers: HEADERS, signal: AbortSignal.any([signal, timeout]) };
      const response = await request(target, options);
      const location = redirectOf(response);
      if (location === undefined) return await readBody(response, target, param, limits.limitBytes);
      response.body.on('error', () => undefined).destroy();
      target = parseUrl(location, target.href, param);
    }
    throw failed(`was redirected more than ${String(MOST_REDIRECTS)} times`, target, param);
  } catch (cause) {
    signal.throwIfAborted();
    if (isFailure(cause)) throw cause;
    if (timeout.aborted) throw failed(`did not arrive within ${String(limits.timeoutMs)} ms`, target, param);
    throw failed(reasonOf(cause), target, param, cause);
  } finally {
    await agent.destroy();
  }
}

/** @throws Failure for what is no URL, for schemes other than http and https, and for URLs that carry a password */
function parseUrl(text: string, base: string | undefined, param: string): URL {
  const url = text.length <= LONGEST_URL && URL.canParse(text, base) ? new URL(text, base) : undefined;
  if (url === undefined) throw new Failure('invalid_image', `${param} leads to something that is no URL`, { param });
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Failure('image_refused', `${param} leads to a scheme other than http and https`, { param });
  if (url.username !== '' || url.password !== '')
    throw new Failure('image_refused', `${param} leads to a URL with a user name or password in it`, { param });
  return url;
}

function redirectOf({ statusCode, headers }: Dispatcher.ResponseData): string | undefined {
  const { location } = headers;
  return [301, 302, 303, 307, 308].includes(statusCode) && typeof location === 'string' ? location : undefined;
}

async function readBody(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  target: URL,
  param: string,
  limitBytes: number,
): Promise<Buffer> {
  body.on('error', () => undefined);
  if (statusCode !== 200) throw failed(`was answered with status ${String(statusCode)}`, target, param);
  const tooLarge = new Failure('image_too_large', `${param} is larger than ${String(limitBytes)} bytes`, {
    param,
    allowed: limitBytes,
  });
  if (Number(headers['content-length'] ?? 0) > limitBytes) throw tooLarge;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function reasonOf(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'has a host name without an address';
  if (code === 'ECONNREFUSED') return 'was refused a connection';
  return 'could not be fetched';
}

function failed(reason: string, target: URL, param: string, cause?: unknown): Failure {
  const message = `${param} at ${shortHost(target.hostname)} ${reason}`;
  return new Failure('image_fetch_failed', message, { param, cause });
}
