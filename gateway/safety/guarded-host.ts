import type { Socket } from 'node:net';
import { errors, Pool } from 'undici';
import { addressesOf, connectTo, type HostCheck } from '../images/fetch/checked-host.ts';
import { Unchecked } from './provider.ts';

/** Limit of an answer in bytes: verdicts have a few hundred. */
const LONGEST_BYTES = 64 * 1024;

export interface HostAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/**
 * The one host that an operator configured. Each new connection passes the address guard: it reaches the public web by
 * https only, and other addresses if the operator named them. Redirects are not followed.
 */
export class GuardedHost {
  readonly #pool: Pool;

  /** @param connections limit of them */
  constructor(origin: URL, host: HostCheck, connections: number, timeoutMs: number) {
    this.#pool = new Pool(origin.origin, {
      connections,
      maxResponseSize: LONGEST_BYTES,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: async (_options, callback) => {
        try {
          callback(null, await connected(origin, host, AbortSignal.timeout(timeoutMs)));
        } catch (cause) {
          callback(cause instanceof Error ? cause : new Error('no connection'), null);
        }
      },
    });
  }

  /** @throws Unchecked; `signal.reason`, unchanged */
  async post(
    url: URL,
    headers: Record<string, string>,
    body: string | Buffer,
    signal: AbortSignal,
  ): Promise<HostAnswer> {
    const ask = async (): Promise<HostAnswer> => {
      const path = url.pathname + url.search;
      const answer = await this.#pool.request({ path, method: 'POST', headers, body, signal });
      return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() };
    };
    try {
      // A connection that was idle may be closed in the moment in which it is used again.
      return await ask().catch((cause: unknown) =>
        isBroken(cause) && !signal.aborted ? ask() : Promise.reject(cause),
      );
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof Unchecked) throw cause;
      if (cause instanceof errors.ResponseExceededMaxSizeError)
        throw new Unchecked('malformed', `an answer of more than ${LONGEST_BYTES} bytes`);
      throw new Unchecked('unreachable', codeOf(cause));
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

async function connected(url: URL, host: HostCheck, signal: AbortSignal): Promise<Socket> {
  const { addresses, isPermitted, isNamed } = await addressesOf(url, host, signal);
  if (!isPermitted) throw new Unchecked('unreachable', 'its address or port is not allowed');
  if (url.protocol !== 'https:' && !isNamed) throw new Unchecked('unreachable', 'its URL is not https');
  const socket = connectTo(url, addresses);
  const giveUp = (): void => void socket.destroy(new Unchecked('unreachable', 'it does not take connections'));
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).once(url.protocol === 'https:' ? 'secureConnect' : 'connect', resolve);
    });
    return socket;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function isBroken(cause: unknown): boolean {
  return cause instanceof errors.SocketError || ['ECONNRESET', 'EPIPE'].includes(codeOf(cause));
}

/** For the log: a code, and no text that could quote anything. */
function codeOf(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : 'no connection';
}
