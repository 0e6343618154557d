import type { LookupAddress } from 'node:dns';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from 'node:net';
import { pipeline, Transform, type Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { Failure } from '../../failure.ts';
import { withoutBrackets, type AddressGuard } from './address-guard.ts';
import type { NameLookup } from './name-lookup.ts';
import { PacedConnection, type Judge, type Pace } from './paced-connection.ts';
import { readPictureUrl } from './picture-url.ts';

/** As many as browsers follow. Source: Fetch standard, "HTTP-redirect fetch". */
export const MOST_REDIRECTS = 20;
/** A host may say much before its answer (1xx), but not for ever. */
const MOST_INFORMATIONAL = 32;
const LONGEST_HEAD_BYTES = 64 * 1024;
/** What a host may send besides a picture, and besides framing as large as the picture itself. */
const MOST_OVERHEAD_BYTES = 128 * 1024;
/** Of a body, received and not yet read. */
const UNREAD_BYTES = 256 * 1024;
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

export interface Network {
  readonly guard: AddressGuard;
  readonly lookup: NameLookup;
  readonly pace: Pace;
}

/** An answer of success. */
export interface PictureAnswer {
  readonly headers: IncomingHttpHeaders;
  /** ends in an error when the host does not send it whole */
  readonly body: Readable;
  /** what ended the connection early, if anything did: the body's own error says only that it was cut short */
  brokenBy(): Error | null;
  /** Ends the connection. */
  close(): void;
}
interface Answer extends PictureAnswer {
  readonly status: number;
}

/**
 * Asks for a picture until a host answers with a status of success; its body is not read yet. Each host, also behind a redirect,
 * passes the guard, and the connection goes to an address that was checked. No connection, and no name once resolved,
 * outlives the request that it was checked for.
 * @throws Failure, whose message is for the log alone; Error of DNS, of the connection, of TLS or of the HTTP parser
 */
export async function reachPicture(
  url: URL,
  network: Network,
  progress: Progress,
  signal: AbortSignal,
): Promise<PictureAnswer> {
  const { guard, lookup } = network;
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

/** @returns where it leads, its bytes beyond ASCII percent-encoded as browsers do; node.js gives each byte as a character */
function redirectOf({ status, headers }: Answer): string | undefined {
  // `URI` is what `Location` was called once; aiohttp, with which vLLM fetches, reads it as well.
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
    // Framing can cost more than what it frames, in bytes and above all in time: a body of one byte a chunk, for instance.
    if (passedBytes > MOST_OVERHEAD_BYTES + 2 * (readBytes + unread))
      return Object.assign(new Error('much besides a picture'), { code: 'TOO_MUCH_OVERHEAD' });
    return unread > UNREAD_BYTES ? 'wait' : 'go on';
  };
  return new Promise((resolve, reject) => {
    const socket = connect(target, addresses);
    socket.once(target.protocol === 'https:' ? 'secureConnect' : 'connect', () => (progress.stage = 'answer'));
    const connection = new PacedConnection(socket, pace, judge);
    const options = {
      createConnection: () => connection,
      headers: HEADERS,
      signal,
      maxHeaderSize: LONGEST_HEAD_BYTES,
      // Framing that browsers and aiohttp take as well. What it is feared for, one answer read as two, needs a second request.
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
        // Without a length the end of the connection is the end of the body, for node.js also when it was cut.
        flush: (done) => done(connection.errored),
      });
      // Whoever reads the body sees what is wrong with it; when it is not read, nobody has to.
      const body = pipeline(answer, meter, () => undefined).on('error', () => undefined);
      resolve({
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        body,
        brokenBy: () => connection.errored,
        close: () => connection.destroy(),
      });
    });
    // Stays, as a connection can break again after the answer has begun.
    sent.on('error', reject);
    sent.once('close', () => reject(new Failure('image_fetch_failed', 'it closed the connection')));
    sent.end();
  });
}

/** To one of the addresses, and to nowhere else. */
function connect({ protocol, hostname, port }: URL, addresses: readonly LookupAddress[]): Socket {
  const host = withoutBrackets(hostname);
  const several = addresses.slice(0, MOST_ADDRESSES);
  const [first] = several;
  const options: TcpNetConnectOpts = {
    host,
    port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    lookup: (_host, { all }, callback) => {
      if (all === true) callback(null, several);
      else callback(null, first?.address ?? '', first?.family);
    },
  };
  if (protocol !== 'https:') return connectTcp(options);
  // The dot at a name's end is no part of what a certificate names.
  const servername = isIP(host) === 0 ? host.replace(/\.$/, '') : '';
  return connectTls({ ...options, servername, ALPNProtocols: ['http/1.1'] });
}
