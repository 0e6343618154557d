export const RIGHTS = 'give it the rights that penstock redis acl prints';
export const NO_TLS =
  'does not answer in TLS: if this is a plain port, begin the URL with redis://; otherwise give the port for TLS';

const CLOSED = /Stream isn't writeable|ECONNRESET|EPIPE|Connection is closed/;
const NO_RIGHT = /NOPERM|no permission/i;

/** What a message about a Redis names. */
export interface RedisPlace {
  /** begins a sentence */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly hasTls: boolean;
}

interface WhyNot {
  /** matches the message or code of an error of a library or of Redis itself */
  readonly says: RegExp;
  /** waiting does not help */
  readonly isFinal?: boolean;
  readonly isSo?: (place: RedisPlace) => boolean;
  /** follows the address of the Redis in the message */
  readonly sentence: string | ((message: string, place: RedisPlace) => string);
}

/** Why a Redis does not serve this program. The first row that fits counts. */
const REASONS: readonly WhyNot[] = [
  { says: /^(is a|is no|is one|is Redis|does not let)/, sentence: (message) => message },
  {
    says: /All sentinels are unreachable/,
    sentence: (message) =>
      /NOAUTH|WRONGPASS/.test(message)
        ? 'refuses our login at the Sentinel: check _REDIS_SENTINEL_USERNAME and _REDIS_SENTINEL_PASSWORD'
        : 'cannot be found: no Sentinel answers, or none has a primary of the name in the URL',
  },
  {
    says: /DB index|SELECT is not allowed|invalid DB/i,
    isFinal: true,
    sentence: (_message, { db }) =>
      `has no database ${db}: end the URL in a database that it has, such as /0; _REDIS_PREFIX separates two installations in one database`,
  },
  {
    says: /WRONGPASS|NOAUTH|invalid password|AUTH failed/i,
    isFinal: true,
    sentence: 'refuses our user or password: check _REDIS_USERNAME and _REDIS_PASSWORD, or those in the URL',
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
    sentence:
      'is in protected mode and serves its own machine only: set a password in Redis, and give Penstock the same one',
  },
  { says: /max number of clients/i, sentence: 'has reached its limit of connections: raise its maxclients' },
  { says: /LOADING/, sentence: 'is still loading its file: wait for it, or raise _REDIS_WAIT_MS' },
  {
    says: /MISCONF|OOM command/,
    sentence: (message) =>
      /OOM/.test(message)
        ? 'is full and refuses writes: give it more memory (its maxmemory)'
        : 'cannot write its file and refuses writes: check its disk and its log',
  },
  {
    says: /Protocol error|RESP type|unknown command/i,
    isFinal: true,
    sentence: 'does not speak the protocol of Redis: is this the port of another service?',
  },
  {
    says: /alert (certificate required|bad certificate|handshake failure|unknown ca)/i,
    isFinal: true,
    sentence:
      'requires a client certificate, or refuses ours: name one and its key in _REDIS_CERT_FILE and _REDIS_KEY_FILE',
  },
  {
    says: /WRONG_VERSION|wrong version number|packet length|EPROTO|before secure TLS|unknown protocol/i,
    isFinal: true,
    sentence: NO_TLS,
  },
  {
    says: /ALTNAME/i,
    isFinal: true,
    sentence: (_message, { host }) =>
      `has a certificate without the name ${host}: use a name of the certificate in the URL`,
  },
  {
    says: /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    isFinal: true,
    sentence: 'has a certificate that has expired or is not valid yet: renew it, or set the clock',
  },
  {
    says: /certificate|self.signed|UNABLE_TO_/i,
    isFinal: true,
    sentence: 'has a certificate that is not trusted: name its certificate authority in _REDIS_CA_FILE',
  },
  {
    says: /ENOTFOUND|EAI_AGAIN|EINVAL/,
    sentence:
      'has a name that cannot be resolved: check the URL; percent-encode all characters of its password except letters and digits',
  },
  { says: /READONLY/, sentence: 'is a read-only replica: give the address of its primary' },
  {
    says: /CLUSTERDOWN/,
    sentence: 'is a Redis Cluster that is down, or has slots without a node: look at its CLUSTER INFO',
  },
  {
    says: /MOVED/,
    sentence: 'is one of several nodes of a Redis Cluster: name others in _REDIS_CLUSTER_NODES',
  },
  {
    says: CLOSED,
    isSo: ({ hasTls }) => !hasTls,
    sentence: 'closes each connection immediately: if this is a TLS port, begin the URL with rediss://',
  },
  { says: CLOSED, sentence: 'closes each connection immediately: is this its port?' },
  { says: /ETIMEDOUT|timed out|timeout/i, isSo: ({ hasTls }) => hasTls, sentence: NO_TLS },
  {
    says: /ETIMEDOUT|timed out|timeout|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EACCES/i,
    sentence: 'does not answer: is it running, and does a firewall let us through?',
  },
  { says: /ECONNREFUSED/, sentence: 'refuses connections: is it running, and is this its port?' },
];

/** The text of an error; of a discarded transaction, its first own error has the reason. */
function wordsOf(error: unknown): { readonly message: string; readonly code: string } {
  if (typeof error !== 'object' || error === null) return { message: String(error), code: '' };
  if ('previousErrors' in error && Array.isArray(error.previousErrors) && error.previousErrors.length > 0)
    return wordsOf(error.previousErrors[0]);
  return {
    message: 'message' in error ? String(error.message) : '',
    code: 'code' in error ? String(error.code) : '',
  };
}

/** Whether the error only reports that the connection ended, without a reason. */
export function isClosed(error: unknown): boolean {
  return CLOSED.test(wordsOf(error).message);
}

export function missesRight(error: unknown): boolean {
  return NO_RIGHT.test(wordsOf(error).message);
}

/** @returns undefined for an unknown error */
export function whyNot(error: unknown, place: RedisPlace): WhyNot | undefined {
  const { message, code } = wordsOf(error);
  return REASONS.find(
    ({ says, isSo }) => (says.test(message) || says.test(code)) && (isSo === undefined || isSo(place)),
  );
}

/** A library's error as one sentence for the operator. */
export function explain(error: unknown, place: RedisPlace): string {
  const { message } = wordsOf(error);
  const sentence = whyNot(error, place)?.sentence ?? `does not serve us: ${message.slice(0, 200)}`;
  return typeof sentence === 'string' ? sentence : sentence(message, place);
}
