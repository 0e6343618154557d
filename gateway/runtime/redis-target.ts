import type { Log } from './log.ts';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { entraTokens, passwordFile as followed, RedisLogin } from './redis-login.ts';
import { readSecretFile, readSettingFile } from './setting-file.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

/** The address of a Redis and how to log in. */
export interface RedisTarget {
  /** `redis://` or `rediss://`, without credentials if they are given separately; its host is the primary's name for Sentinels */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** in the place of `password`: one that changes */
  readonly login?: RedisLogin;
  /** certificate authorities (PEM) in place of the system's, for `rediss://` */
  readonly ca?: string;
  /** certificate of this program and its private key (PEM), for a Redis that asks for one */
  readonly cert?: string;
  readonly key?: string;
  /** of a cluster of several addresses: nodes that are asked for the others, with that of the URL */
  readonly clusterNodes?: readonly Place[];
  /** those that know the primary's address, and how to log in there */
  readonly sentinel?: { readonly nodes: readonly Place[]; readonly username?: string; readonly password?: string };
}

/** User name and password of this moment; empty ones are not sent. */
export function credentialsOf({ url, username, password, login }: RedisTarget) {
  const { username: user, password: secret } = new URL(url);
  return {
    username: username ?? decodeURIComponent(user),
    password: login?.password ?? password ?? decodeURIComponent(secret),
  };
}

/** Gets passwords that change, before anything connects. @throws Error in one sentence if there is none */
export async function beginLogins(targets: ReturnType<typeof redisTargets>, log: Log): Promise<void> {
  await Promise.all([targets.queue.login?.begin(log), targets.replies.login?.begin(log)]);
}

/** How to speak TLS to a Redis; undefined: as the URL says, with the system's authorities. */
export function tlsOptions({ ca, cert, key }: RedisTarget): Pick<RedisTarget, 'ca' | 'cert' | 'key'> | undefined {
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined || key === undefined ? {} : { cert, key }) };
}

const TLS_FILES = ['CA_FILE', 'CERT_FILE', 'KEY_FILE'] as const;
type TlsFile = (typeof TLS_FILES)[number];
const SENTINEL_PARTS = ['SENTINEL_USERNAME', 'SENTINEL_PASSWORD', 'SENTINEL_PASSWORD_FILE'] as const;
/** The settings of one Redis besides its `URL`, each after `<program>_REDIS_` or `<program>_REPLY_REDIS_`. */
const PARTS = [
  'AUTH',
  'USERNAME',
  'PASSWORD',
  'PASSWORD_FILE',
  'CLUSTER_NODES',
  'SENTINELS',
  ...TLS_FILES,
  ...SENTINEL_PARTS,
];

/** Where a token may be sent without TLS. */
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

type Settings = Readonly<Record<string, unknown>>;

/**
 * The Redis of a program's queue, and the Redis of bodies and replies: the same one unless a second is configured. The
 * settings are `<program>_REDIS_` and `<program>_REPLY_REDIS_` with `URL` and `PARTS`. Separate settings are taken
 * literally, so that no password needs encoding. A password in the URL is
 * percent-encoded.
 * @throws Error in one sentence that names the setting, and never a value
 */
export function redisTargets(
  program: string,
  settings: Settings,
): { readonly queue: RedisTarget; readonly replies: RedisTarget } {
  const queue = redisTarget(`${program}_REDIS`, settings);
  if (queue === undefined) throw new Error(`bad configuration\n  ${program}_REDIS_URL: missing`);
  return { queue, replies: redisTarget(`${program}_REPLY_REDIS`, settings) ?? queue };
}

/** @returns undefined if that URL is not set */
function redisTarget(name: string, settings: Settings): RedisTarget | undefined {
  const given = (part: string): string | undefined => {
    const value = settings[`${name}_${part}`];
    return typeof value === 'string' ? value : undefined;
  };
  const refuse = (why: string): never => {
    throw new Error(`bad configuration\n  ${name}_${why}`);
  };
  const [address, passwordFile] = [given('URL'), given('PASSWORD_FILE')];
  const alone = PARTS.find((part) => given(part) !== undefined);
  if (address === undefined) return alone === undefined ? undefined : refuse(`${alone}: needs ${name}_URL`);

  const url = new URL(address);
  // ioredis would read options from there, a database among them.
  if (url.search !== '' || url.hash !== '')
    refuse('URL: has something after ? or #, which is not read; write %3F and %23 for these in a password');
  if (!/^\/?\d{0,5}$/.test(url.pathname))
    refuse('URL: its last slash must be followed by the number of a database, such as /0');
  if (url.hostname === '' || url.port === '0') refuse('URL: names no host or port, as in redis://127.0.0.1:6379/0');
  if (!isEncoded(url.username) || !isEncoded(url.password))
    refuse('URL: write %25 for a % in the user or password, or give them unencoded in _USERNAME and _PASSWORD');
  if (given('PASSWORD') !== undefined && passwordFile !== undefined)
    refuse('PASSWORD: _PASSWORD_FILE gives one too; leave one out');
  const files = TLS_FILES.filter((part) => given(part) !== undefined);
  if (files[0] !== undefined && url.protocol !== 'rediss:')
    refuse(`${files[0]}: needs a URL that begins with rediss://`);
  if (files.includes('CERT_FILE') !== files.includes('KEY_FILE'))
    refuse('CERT_FILE: a certificate needs its key, and a key its certificate: set _KEY_FILE too, or neither');
  const pem = (part: TlsFile, what: 'certificate' | 'private key'): string | undefined => {
    const path = given(part);
    const text = path === undefined ? undefined : readSettingFile(`${name}_${part}`, path);
    const kind = what.toUpperCase();
    if (text !== undefined && !new RegExp(`-----BEGIN [A-Z ]*${kind}-----`).test(text))
      refuse(`${part}: ${path ?? ''} holds no ${what} (-----BEGIN ${kind}-----)`);
    return text;
  };
  const ca = pem('CA_FILE', 'certificate');
  const [cert, key] = [pem('CERT_FILE', 'certificate'), pem('KEY_FILE', 'private key')];
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  if (!isUsable(tls)) refuse('CERT_FILE: OpenSSL refuses it with the key in _KEY_FILE, which must belong to it');
  const more = { ...tls, ...nodesOf(url, given, refuse, (part, file) => readSecretFile(`${name}_${part}`, file)) };
  if (given('AUTH') === 'entra') return { url: address, ...more, ...entraLogin(url, given, refuse) };
  const password =
    passwordFile === undefined ? given('PASSWORD') : readSecretFile(`${name}_PASSWORD_FILE`, passwordFile);
  if (password === undefined) {
    if (given('USERNAME') !== undefined)
      refuse(
        url.password === ''
          ? 'USERNAME: needs a password too'
          : 'USERNAME: the URL holds the password, so put the user name there too, or give both outside it',
      );
    return { url: address, ...more };
  }
  if (url.password !== '') refuse('PASSWORD: the URL holds a password too; leave one out');
  const username = given('USERNAME') ?? decodeURIComponent(url.username);
  url.username = '';
  const user = username === '' ? {} : { username };
  if (passwordFile === undefined) return { url: url.href, password, ...user, ...more };
  // `AUTH` without a name is that of the user `default`.
  const login = new RedisLogin(username === '' ? 'default' : username, followed(passwordFile), password);
  return { url: url.href, ...user, login, ...more };
}

/** A token of Entra ID is the password of the identity whose object id is the user name. */
function entraLogin(
  url: URL,
  given: (part: string) => string | undefined,
  refuse: (why: string) => never,
): Pick<RedisTarget, 'username' | 'login'> {
  const [password] = ['PASSWORD', 'PASSWORD_FILE'].filter((part) => given(part) !== undefined);
  if (password !== undefined || url.password !== '')
    refuse(`${password ?? 'URL'}: holds a password, but _AUTH=entra makes them; leave one out`);
  const username =
    given('USERNAME') ?? refuse('USERNAME: missing; for _AUTH=entra it is the object id of the identity');
  if (url.protocol !== 'rediss:' && !LOOPBACK.test(url.hostname))
    refuse('URL: must begin with rediss:// for _AUTH=entra, because tokens are sent');
  return { username, login: new RedisLogin(username, entraTokens(process.env)) };
}

export function hasOneAddress({ clusterNodes, sentinel }: RedisTarget): boolean {
  return clusterNodes === undefined && sentinel === undefined;
}

/** What a cluster of several addresses, or a primary that Sentinels know, needs besides. */
function nodesOf(
  url: URL,
  given: (part: string) => string | undefined,
  refuse: (why: string) => never,
  readSecret: (part: string, file: string) => string,
): Pick<RedisTarget, 'clusterNodes' | 'sentinel'> {
  const [cluster, sentinels] = [placesIn(given('CLUSTER_NODES')), placesIn(given('SENTINELS'))];
  const [alone] = SENTINEL_PARTS.filter((part) => given(part) !== undefined);
  if (sentinels === undefined && alone !== undefined) refuse(`${alone}: needs the addresses in _SENTINELS`);
  if (cluster !== undefined) {
    if (sentinels !== undefined) refuse('SENTINELS: a Redis Cluster has none; leave this or _CLUSTER_NODES out');
    if (!/^\/?0?$/.test(url.pathname)) refuse('CLUSTER_NODES: a Redis Cluster has database 0 alone; end the URL in /0');
    const first = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port === '' ? 6379 : url.port) };
    return { clusterNodes: [first, ...cluster] };
  }
  if (sentinels === undefined) return {};
  if (url.port !== '') refuse('URL: its host is the name of the primary at the Sentinels, so it has no port');
  const [username, password, file] = SENTINEL_PARTS.map(given);
  if (password !== undefined && file !== undefined)
    refuse('SENTINEL_PASSWORD: _SENTINEL_PASSWORD_FILE gives one too; leave one out');
  const secret = file === undefined ? password : readSecret('SENTINEL_PASSWORD_FILE', file);
  if (username !== undefined && secret === undefined) refuse('SENTINEL_USERNAME: needs a password too');
  return {
    sentinel: {
      nodes: sentinels,
      ...(username === undefined ? {} : { username }),
      ...(secret === undefined ? {} : { password: secret }),
    },
  };
}

/** @param list checked by `setting.places` */
function placesIn(list: string | undefined): Place[] | undefined {
  return list?.split(',').map((text) => {
    const { hostname, port } = new URL(`redis://${text.trim()}`);
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
  });
}

function isUsable(tls: SecureContextOptions): boolean {
  try {
    createSecureContext(tls);
    return true;
  } catch {
    return false;
  }
}

function isEncoded(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}
