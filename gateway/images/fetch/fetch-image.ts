import { Failure, isFailure } from '../../failure.ts';
import { createAddressGuard } from './address-guard.ts';
import { checkUnknownCoding, contentCodings, undoCodings } from './content-coding.ts';
import { FetchPlaces } from './fetch-places.ts';
import { createNameLookup } from './name-lookup.ts';
import type { NameLookupOptions } from './name-lookup.ts';
import { Pace } from './paced-connection.ts';
import { MOST_REDIRECTS, reachPicture } from './picture-host.ts';
import type { Network, PictureAnswer, Progress } from './picture-host.ts';
import { readPictureUrl } from './picture-url.ts';

export interface FetchOptions {
  /** non-public hosts, addresses and ranges (CIDR) that pictures may be fetched from, on any port */
  readonly allow: readonly string[];
  /** timeout for the entire fetch in milliseconds, including redirects and the wait for a free fetch slot */
  readonly timeoutMs: number;
  readonly limitBytes: number;
  /** fetches at a time, for one key and for this replica; absent: no limit */
  readonly fetchesPerKey?: number;
  readonly fetchesPerReplica?: number;
  /** how names are resolved; absent: by this machine's files and name servers */
  readonly names?: NameLookupOptions;
}

/** One picture to fetch. */
interface Wanted {
  /** path of the URL in the caller's body */
  readonly param: string;
  /** id of the caller's key */
  readonly keyId: string;
  /** Requests memory for more bytes before they are kept. @returns false if there is none */
  readonly take: (bytes: number) => boolean;
  /** fires when the caller leaves */
  readonly signal: AbortSignal;
}
/**
 * Fetches a picture by http(s).
 * @throws Failure `invalid_image`, `image_refused`, `image_fetch_failed`, `image_too_large`, `overloaded`
 * @throws `signal.reason`, unchanged, if the caller left first
 */
export type FetchImage = (url: string, wanted: Wanted) => Promise<Buffer>;

const CODE = /^[A-Z][A-Z0-9_]{1,60}$/;

/** @throws Error for an entry of `allow` that is no range */
export function createImageFetch(options: FetchOptions): FetchImage {
  const { timeoutMs, fetchesPerKey = Infinity, fetchesPerReplica = Infinity } = options;
  const network: Network = {
    guard: createAddressGuard(options.allow),
    lookup: createNameLookup(options.names),
    pace: new Pace(),
  };
  const places = new FetchPlaces({ perKey: fetchesPerKey, perReplica: fetchesPerReplica });
  return async (text, wanted) => {
    const { param, keyId, signal } = wanted;
    const url = readPictureUrl(text, param);
    const clock = AbortSignal.timeout(timeoutMs);
    const either = AbortSignal.any([signal, clock]);
    const leave = await places.enter(keyId, either).catch(() => {
      signal.throwIfAborted();
      throw new Failure(
        'overloaded',
        `${param} was not fetched: this gateway reached its limit of picture fetches for ${timeoutMs} ms; try again`,
        { param },
      );
    });
    const progress: Progress = { redirects: 0, stage: 'name' };
    let answer: PictureAnswer | undefined;
    try {
      answer = await reachPicture(url, network, progress, either);
      return await readPicture(answer, options.limitBytes, wanted);
    } catch (cause) {
      signal.throwIfAborted();
      if (answer === undefined) throw unreachable(url, param, timeoutMs, detailOf(cause, progress, clock));
      if (isFailure(cause)) throw cause;
      throw broken(param, clock.aborted ? timeoutMs : undefined, codeOf(answer.brokenBy() ?? cause));
    } finally {
      answer?.close();
      leave();
    }
  };
}

/** Reads the body of a successful answer. @throws Failure, or an error of the connection or of a coding */
async function readPicture(
  { headers, body }: PictureAnswer,
  limitBytes: number,
  { param, take }: Wanted,
): Promise<Buffer> {
  const tooLarge = new Failure('image_too_large', `${param} is larger than ${limitBytes} bytes`, {
    param,
    allowed: limitBytes,
  });
  const { known, unknown } = contentCodings(headers['content-encoding'], param);
  const announced = Number(headers['content-length'] ?? 0);
  if (announced > limitBytes) throw tooLarge;
  let taken = 0;
  const takeUpTo = (bytes: number): void => {
    if (bytes > limitBytes) throw tooLarge;
    if (bytes <= taken) return;
    if (!take(bytes - taken))
      throw new Failure('overloaded', `this gateway has no memory left for ${param}; try again`, { param });
    taken = bytes;
  };
  // The length of a compressed body does not give the length of the picture.
  if (known.length === 0) takeUpTo(announced);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const undone: AsyncIterable<Buffer> = await undoCodings(body, known, limitBytes, tooLarge);
  for await (const chunk of undone) {
    bytes += chunk.length;
    takeUpTo(bytes);
    chunks.push(chunk);
  }
  const picture = Buffer.concat(chunks, bytes);
  if (unknown !== undefined) checkUnknownCoding(unknown, picture, param);
  return picture;
}

/**
 * The same failure for everything before a successful answer. A caller must not learn from it what is behind a name, an
 * address or a port that only the gateway can reach. The log has the reason.
 */
function unreachable(url: URL, param: string, timeoutMs: number, detail: string): Failure {
  const message =
    `${param} could not be fetched. Pictures are fetched from public addresses, on port 80 or 443, ` +
    `if the host answers with status 200 within ${timeoutMs} ms, after at most ${MOST_REDIRECTS} redirects`;
  const host = url.hostname.slice(0, 80);
  return new Failure('image_fetch_failed', message, { param, cause: { message: `${host}: ${detail}` } });
}

/** A reason without any text of the host: messages of libraries quote it, such as names in a certificate. */
function detailOf(cause: unknown, { redirects, stage }: Progress, clock: AbortSignal): string {
  const reason = isFailure(cause) ? cause.message : codeOf(cause);
  const where = redirects === 0 ? stage : `${stage}, after ${redirects} redirects`;
  return `${clock.aborted ? 'timeout' : reason} (${where})`;
}

/** The host's answer began with success and then failed. */
function broken(param: string, lateMs: number | undefined, code: string): Failure {
  if (lateMs !== undefined)
    return new Failure('image_fetch_failed', `${param} did not arrive completely within ${lateMs} ms`, { param });
  const cause = { code };
  if (code === 'TOO_MUCH_OVERHEAD')
    return new Failure('image_fetch_failed', `${param} arrives in too small pieces, or with too much other data`, {
      param,
      cause,
    });
  // Error codes of zlib, and of node.js for brotli.
  if (/^(Z_|ERR_)/.test(code))
    return new Failure('invalid_image', `${param} is damaged: its content coding cannot be decoded`, {
      param,
      cause,
    });
  return new Failure('image_fetch_failed', `${param} is cut short: its host ended the answer early`, { param, cause });
}

function codeOf(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && CODE.test(code) ? code : 'unknown';
}
