import type { LookupAddress } from 'node:dns';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { Failure } from '#contract/failure';
import { withoutBrackets, type AddressGuard } from './address-guard.ts';
import type { NameLookup } from './name-lookup.ts';
import { readPictureUrl } from './picture-url.ts';

/** As many as browsers follow. Source: Fetch standard, "HTTP-redirect fetch". */
export const MOST_REDIRECTS = 20;
/** A host may say much before its answer (1xx), but not for ever. */
const MOST_INFORMATIONAL = 32;
const LONGEST_HEAD_BYTES = 64 * 1024;
/** Of one host; each is tried in turn, so a name cannot make the gateway knock on hundreds of doors. */
const MOST_ADDRESSES = 8;
/** Until the next address of a host is tried beside the one before it. */
const NEXT_ADDRESS_MS = 500;
const HEADERS = {
  accept: 'image/png, image/jpeg, image/webp, image/gif, */*;q=0.1',
  'accept-encoding': 'identity',
  'user-agent': 'penstock',
};

/** How far it came, for the log. */
export interface Progress {
  redirects: number;
  stage: 'name' | 'connection' | 'answer';
}

/**
 * Asks for a picture until a host answers with a status of success; its body is not read yet. Each host, also behind a redirect,
 * passes the guard, and the connection goes to an address that was checked. No connection, and no name once resolved,
 * outlives the request that it was checked for.
 * @throws Failure, whose message is for the log alone; Error of DNS, of the connection, of TLS or of the HTTP parser
 */
export async function reachPicture(
  url: URL,
  { guard, lookup }: { readonly guard: AddressGuard; readonly lookup: NameLookup },
  progress: Progress,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let target = url;
  for (;;) {
    progress.stage = 'name';
    const host = withoutBrackets(target.hostname);
    const family = isIP(host);
    const addresses = family === 0 ? await lookup(host, signal) : [{ address: host, family }];
    const permitted = guard.permits(
      target,
      addresses.map(({ address }) => address),
    );
    if (!permitted) throw new Failure('image_refused', 'its address or port is not allowed');
    progress.stage = 'connection';
    const answer = await ask(target, addresses, progress, signal);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    answer.destroy();
    const location = redirectOf(answer);
    if (location === undefined) throw new Failure('image_fetch_failed', `it answered with status ${String(status)}`);
    if (progress.redirects === MOST_REDIRECTS) throw new Failure('image_fetch_failed', 'it redirects without end');
    progress.redirects += 1;
    target = readPictureUrl(location, 'a redirect', target.href);
  }
}

/** @returns where it leads, its bytes beyond ASCII percent-encoded as browsers do; node.js gives each byte as a character */
function redirectOf({ statusCode, headers }: IncomingMessage): string | undefined {
  // `URI` is what `Location` was called once; aiohttp, with which vLLM fetches, reads it as well.
  const location = headers.location ?? headers['uri'];
  if (![301, 302, 303, 307, 308].includes(statusCode ?? 0) || typeof location !== 'string') return undefined;
  return location.replaceAll(/[\u0080-\u00ff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function ask(
  target: URL,
  addresses: readonly LookupAddress[],
  progress: Progress,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const several = addresses.slice(0, MOST_ADDRESSES);
  const [first] = several;
  const host = withoutBrackets(target.hostname);
  const options: RequestOptions & { servername: string; autoSelectFamilyAttemptTimeout: number } = {
    agent: false,
    headers: HEADERS,
    signal,
    maxHeaderSize: LONGEST_HEAD_BYTES,
    // Framing that browsers and aiohttp take as well. What it is feared for, one answer read as two, needs a second request.
    insecureHTTPParser: true,
    servername: isIP(host) === 0 ? host.replace(/\.$/, '') : '',
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    lookup: (_host, { all }, callback) => {
      if (all === true) callback(null, several);
      else callback(null, first?.address ?? '', first?.family);
    },
  };
  return new Promise((resolve, reject) => {
    const sent = target.protocol === 'https:' ? httpsRequest(target, options) : httpRequest(target, options);
    let informational = 0;
    sent.on('information', () => {
      informational += 1;
      if (informational > MOST_INFORMATIONAL)
        sent.destroy(new Failure('image_fetch_failed', 'it announces an answer without end'));
    });
    sent.once('finish', () => (progress.stage = 'answer'));
    sent.once('response', (answer) => {
      // Whoever reads the body sees it; until then, and when it is not read at all, nobody else must.
      answer.on('error', () => undefined);
      resolve(answer);
    });
    // Stays, as a connection can break again after the answer has begun.
    sent.on('error', reject);
    sent.once('close', () => reject(new Failure('image_fetch_failed', 'it closed the connection')));
    sent.end();
  });
}
