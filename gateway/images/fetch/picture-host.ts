import type { LookupAddress } from 'node:dns';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline, Transform, type Readable } from 'node:stream';
import { Failure } from '../../failure.ts';
import { addressesOf, connectTo, type HostCheck } from './checked-host.ts';
import { PacedConnection, type Judge, type Pace } from './paced-connection.ts';
import { readPictureUrl } from './picture-url.ts';

/** The number that browsers follow. Source: Fetch standard, "HTTP-redirect fetch". */
export const MOST_REDIRECTS = 20;
/** Limit for informational answers (1xx) of a host before its real one. */
const MOST_INFORMATIONAL = 32;
const LONGEST_HEAD_BYTES = 64 * 1024;
/** Bytes that a host may send besides a picture, and besides framing as large as the picture itself. */
const MOST_OVERHEAD_BYTES = 128 * 1024;
/** Limit of body bytes that were received and not yet read. */
const UNREAD_BYTES = 256 * 1024;
const HEADERS = {
  accept: 'image/png, image/jpeg, image/webp, image/gif, */*;q=0.1',
  'accept-encoding': 'identity',
  'user-agent': 'penstock',
};

/** How far the fetch got, for the log. */
export interface Progress {
  redirects: number;
  stage: 'name' | 'connection' | 'answer';
}

export interface Network extends HostCheck {
  readonly pace: Pace;
}

/** A successful answer. */
export interface PictureAnswer {
  readonly headers: IncomingHttpHeaders;
  /** fails if the host does not send it completely */
  readonly body: Readable;
  /** the error that ended the connection early, if any: the body's own error only reports that it was cut short */
  brokenBy(): Error | null;
  /** Ends the connection. */
  close(): void;
}
interface Answer extends PictureAnswer {
  readonly status: number;
}

/**
 * Requests a picture until a host answers with a success status; its body is not read yet. Each host, also after a
 * redirect, passes the guard, and the connection uses an address that was checked. No connection and no resolved name
 * is reused after the request that it was checked for.
 * @throws Failure, whose message is for the log alone; Error of DNS, of the connection, of TLS or of the HTTP parser
 */
export async function reachPicture(
  url: URL,
  network: Network,
  progress: Progress,
  signal: AbortSignal,
): Promise<PictureAnswer> {
  let target = url;
  for (;;) {
    progress.stage = 'name';
    const { addresses, isPermitted } = await addressesOf(target, network, signal);
    if (!isPermitted) throw new Failure('image_refused', 'its address or port is not allowed');
    progress.stage = 'connection';
    const answer = await ask(target, addresses, network.pace, progress, signal);
    if (answer.status >= 200 && answer.status < 300) return answer;
    answer.close();
    const location = redirectOf(answer);
    if (location === undefined) throw new Failure('image_fetch_failed', `it answered with status ${answer.status}`);
    if (progress.redirects === MOST_REDIRECTS) throw new Failure('image_fetch_failed', 'it redirects without end');
    progress.redirects += 1;
    target = readPictureUrl(location, 'a redirect', target.href);
  }
}

/** @returns a redirect's target, percent-encoded beyond ASCII as in browsers; node.js gives each byte as a character */
function redirectOf({ status, headers }: Answer): string | undefined {
  // `URI` is an old name of `Location`; aiohttp, with which vLLM fetches, reads it too.
  const location = headers.location ?? headers['uri'];
  if (![301, 302, 303, 307, 308].includes(status) || typeof location !== 'string') return undefined;
  return location.replaceAll(/[\u0080-\u00ff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function ask(
  target: URL,
  addresses: readonly LookupAddress[],
  pace: Pace,
  progress: Progress,
  signal: AbortSignal,
): Promise<Answer> {
  let message: IncomingMessage | undefined;
  let readBytes = 0;
  const judge: Judge = (passedBytes) => {
    const unread = message?.readableLength ?? 0;
    // Framing can cost more than its content, in bytes and above all in time, for example a body of one byte per chunk.
    if (passedBytes > MOST_OVERHEAD_BYTES + 2 * (readBytes + unread))
      return Object.assign(new Error('too much data besides a picture'), { code: 'TOO_MUCH_OVERHEAD' });
    return unread > UNREAD_BYTES ? 'wait' : 'go on';
  };
  return new Promise((resolve, reject) => {
    const socket = connectTo(target, addresses);
    socket.once(target.protocol === 'https:' ? 'secureConnect' : 'connect', () => (progress.stage = 'answer'));
    const connection = new PacedConnection(socket, pace, judge);
    const options = {
      createConnection: () => connection,
      headers: HEADERS,
      signal,
      maxHeaderSize: LONGEST_HEAD_BYTES,
      // Accepts framing that browsers and aiohttp accept. Its known danger, one answer read as two, needs a second
      // request.
      insecureHTTPParser: true,
    };
    const sent = target.protocol === 'https:' ? httpsRequest(target, options) : httpRequest(target, options);
    let informational = 0;
    sent.on('information', () => {
      informational += 1;
      if (informational > MOST_INFORMATIONAL)
        sent.destroy(new Failure('image_fetch_failed', 'it announces an answer without end'));
    });
    sent.once('response', (answer) => {
      message = answer;
      const meter = new Transform({
        transform: (chunk: Buffer, _encoding, done) => {
          readBytes += chunk.length;
          connection.wake();
          done(null, chunk);
        },
        // Without a length the end of the connection ends the body; node.js does not notice if it was cut.
        flush: (done) => done(connection.errored),
      });
      // The reader of the body gets its error. If the body is not read, its error does not matter.
      const body = pipeline(answer, meter, () => undefined).on('error', () => undefined);
      resolve({
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        body,
        brokenBy: () => connection.errored,
        close: () => connection.destroy(),
      });
    });
    // It stays, because a connection can break again after the answer has begun.
    sent.on('error', reject);
    sent.once('close', () => reject(new Failure('image_fetch_failed', 'it closed the connection')));
    sent.end();
  });
}
