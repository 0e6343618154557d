import type { RedisOptions } from 'ioredis';

export const RIGHTS = 'give it the rights that deploy/README.md lists';
export const NO_TLS =
  'does not answer in TLS: let the URL begin with redis:// if this is a plain port, or give the port for TLS';

const CLOSED = /Stream isn't writeable|ECONNRESET|EPIPE|Connection is closed/;
const NO_RIGHT = /NOPERM|no permission/i;

interface Connection {
  readonly options: RedisOptions;
}

interface WhyNot {
  /** of a library or of Redis itself: message or code of an error */
  readonly says: RegExp;
  /** waiting does not help */
  readonly isFinal?: boolean;
  readonly isSo?: (connection: Connection) => boolean;
  /** what is said behind the address */
  readonly sentence: string | ((message: string, connection: Connection) => string);
}

const hasTls = ({ options }: Connection): boolean => options.tls !== undefined;

/** Why a Redis does not serve us. The first row that fits counts. */
const REASONS: readonly WhyNot[] = [
  { says: /^(is a|is Redis|does not let)/, sentence: (message) => message },
  {
    says: /DB index|SELECT is not allowed|invalid DB/i,
    isFinal: true,
    sentence: (_message, { options }) =>
      `has no database ${options.db}: let the URL end in one that it has, such as /0; two installations on one are kept apart by _REDIS_PREFIX`,
  },
  {
    says: /WRONGPASS|NOAUTH|invalid password|AUTH failed/i,
    isFinal: true,
    sentence: 'refuses our user or password: check _REDIS_USERNAME and _REDIS_PASSWORD, or what the URL holds',
  },
  {
    says: NO_RIGHT,
    isFinal: true,
    sentence: (message) => {
      const others = /channel/i.test(message) ? 'our channels' : 'our keys';
      return `does not let our user run or reach ${/'([\w|]+)' command/.exec(message)?.[1] ?? others}: ${RIGHTS}`;
    },
  },
  {
    says: /DENIED/,
    isFinal: true,
    sentence: 'is in protected mode, which serves its own machine alone: give it a password, and us the same',
  },
  { says: /max number of clients/i, sentence: 'has as many connections as it may: raise its maxclients' },
  { says: /LOADING/, sentence: 'still reads its file: wait for it, or raise _REDIS_WAIT_MS' },
  {
    says: /MISCONF|OOM command/,
    sentence: (message) =>
      /OOM/.test(message)
        ? 'is full and refuses writes: give it more memory (its maxmemory)'
        : 'cannot write its file and refuses writes: look at its disk and its log',
  },
  {
    says: /Protocol error|RESP type|unknown command/i,
    isFinal: true,
    sentence: 'does not speak the protocol of Redis: is this the port of another service?',
  },
  {
    says: /alert (certificate required|bad certificate|handshake failure|unknown ca)/i,
    isFinal: true,
    sentence: 'asks for a certificate of its clients, and there is no setting for one: let it ask for none',
  },
  {
    says: /WRONG_VERSION|wrong version number|packet length|EPROTO|before secure TLS|unknown protocol/i,
    isFinal: true,
    sentence: NO_TLS,
  },
  {
    says: /ALTNAME/i,
    isFinal: true,
    sentence: (_message, { options }) =>
      `has a certificate for other names than ${options.host ?? 'localhost'}: let the URL hold a name of the certificate`,
  },
  {
    says: /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    isFinal: true,
    sentence: 'has a certificate that is over, or not valid yet: renew it, or set the clock',
  },
  {
    says: /certificate|self.signed|UNABLE_TO_/i,
    isFinal: true,
    sentence: 'has a certificate that is not trusted: name its certificate authority in _REDIS_CA_FILE',
  },
  {
    says: /ENOTFOUND|EAI_AGAIN|EINVAL/,
    sentence:
      'has a name that cannot be resolved: check the URL; in it, other characters of a password than letters and digits are percent-encoded',
  },
  { says: /READONLY/, sentence: 'is a read-only replica: give the address of its primary' },
  {
    says: /MOVED|CLUSTERDOWN|cluster/i,
    sentence: 'is a Redis Cluster, which is not served: give one without cluster mode',
  },
  {
    says: CLOSED,
    isSo: (connection) => !hasTls(connection),
    sentence: 'closes each connection at once: a port for TLS needs a URL that begins with rediss://',
  },
  { says: CLOSED, sentence: 'closes each connection at once: is this its port?' },
  { says: /ETIMEDOUT|timed out|timeout/i, isSo: hasTls, sentence: NO_TLS },
  {
    says: /ETIMEDOUT|timed out|timeout|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EACCES/i,
    sentence: 'does not answer: is it running, and does a firewall let us through?',
  },
  { says: /ECONNREFUSED/, sentence: 'refuses connections: is it running, and is this its port?' },
];

/** Of a transaction that was discarded the first of its own errors says why. */
function wordsOf(error: unknown): { readonly message: string; readonly code: string } {
  if (typeof error !== 'object' || error === null) return { message: String(error), code: '' };
  if ('previousErrors' in error && Array.isArray(error.previousErrors) && error.previousErrors.length > 0)
    return wordsOf(error.previousErrors[0]);
  return {
    message: 'message' in error ? String(error.message) : '',
    code: 'code' in error ? String(error.code) : '',
  };
}

/** The connection ended, which says nothing of why. */
export function isClosed(error: unknown): boolean {
  return CLOSED.test(wordsOf(error).message);
}

export function missesRight(error: unknown): boolean {
  return NO_RIGHT.test(wordsOf(error).message);
}

/** @returns undefined for what is not known */
export function whyNot(error: unknown, connection: Connection): WhyNot | undefined {
  const { message, code } = wordsOf(error);
  return REASONS.find(
    ({ says, isSo }) => (says.test(message) || says.test(code)) && (isSo === undefined || isSo(connection)),
  );
}

/** What stands in a library's error, in a sentence of ours. */
export function explain(error: unknown, connection: Connection): string {
  const { message } = wordsOf(error);
  const sentence = whyNot(error, connection)?.sentence ?? `does not serve us: ${message.slice(0, 200)}`;
  return typeof sentence === 'string' ? sentence : sentence(message, connection);
}
