import { once } from 'node:events';
import { connect } from 'node:net';
import { within } from './lifecycle.ts';
import { isOpen, placeOf, primariesOf, type RedisClient } from './redis-client.ts';
import { RedisCluster } from './redis-cluster.ts';
import { combined, factsOf, type RedisFacts } from './redis-facts.ts';
import { explain, isClosed, missesRight, NO_TLS, RIGHTS, whyNot } from './redis-refusal.ts';

/** How long to wait for what a Redis sends unasked when a connection opens, in milliseconds. */
const GREETING_MS = 500;
/** The first version with `XADD NOMKSTREAM`; without it a reply stream that lapsed would be created again and again. */
const LEAST_VERSION = [6, 2] as const;

/**
 * How each command is tried, so that it changes nothing or is undone. `K` stands for a key. A command without a row is not tried:
 * a connection that needs it has used it before, or this file tries it in another way.
 */
export const PROBES: Readonly<Record<string, readonly string[]>> = {
  set: ['K', '1', 'PX', '1000'],
  get: ['K'],
  exists: ['K'],
  pttl: ['K'],
  pexpire: ['K', '1000'],
  incr: ['K'],
  incrby: ['K', '1'],
  decrby: ['K', '1'],
  hset: ['K', 'f', '1'],
  hget: ['K', 'f'],
  hmget: ['K', 'f'],
  hgetall: ['K'],
  hmset: ['K', 'f', '1'],
  hexists: ['K', 'f'],
  hincrby: ['K', 'f', '1'],
  hdel: ['K', 'f'],
  zadd: ['K', '1', 'm'],
  zcard: ['K'],
  zcount: ['K', '0', '1'],
  zscore: ['K', 'm'],
  zrange: ['K', '0', '0'],
  zrevrange: ['K', '0', '0'],
  zrangebyscore: ['K', '0', '0'],
  zrevrangebyscore: ['K', '0', '0'],
  zremrangebyscore: ['K', '0', '0'],
  zremrangebyrank: ['K', '0', '0'],
  zpopmin: ['K'],
  zrem: ['K', 'm'],
  bzpopmin: ['K', '0.001'],
  lpush: ['K', 'm'],
  llen: ['K'],
  lrange: ['K', '0', '0'],
  lindex: ['K', '0'],
  lpos: ['K', 'm'],
  lrem: ['K', '0', 'm'],
  ltrim: ['K', '0', '0'],
  lpop: ['K'],
  rpop: ['K'],
  rpoplpush: ['K', 'K'],
  sadd: ['K', 'm'],
  srem: ['K', 'm'],
  scard: ['K'],
  smembers: ['K'],
  xadd: ['K', 'NOMKSTREAM', '*', 'f', '1'],
  xrange: ['K', '-', '+', 'COUNT', '1'],
  xrevrange: ['K', '+', '-', 'COUNT', '1'],
  xread: ['COUNT', '1', 'STREAMS', 'K', '0'],
  xtrim: ['K', 'MAXLEN', '0'],
  time: [],
  del: ['K'],
  unlink: ['K'],
  wait: ['0', '1'],
  eval: ['return 0', '0'],
  // Redis knows no such script, and says so to a user with the right.
  evalsha: ['0'.repeat(40), '0'],
  asking: [],
  readonly: [],
  readwrite: [],
};
/** How a pattern of keys is tried. Neither changes a key of a program: none of those without a pattern is a stream. */
const PROBE_OF = { read: ['get'], write: ['xadd'], both: ['get', 'xadd'] } as const;

/** What a program needs in a Redis: see `contract/redis-rights.ts`. */
export interface NeededRights {
  readonly commands: readonly string[];
  readonly keys: readonly { readonly pattern: string; readonly access: keyof typeof PROBE_OF }[];
  readonly channels: readonly string[];
}

/**
 * Waits until a Redis answers, and checks that Penstock can use it.
 * @param needed rights that are tried, with keys and channels that no program uses
 * @returns the facts of that Redis
 * @throws Error in one sentence that says what is wrong and what to do
 */
export async function requireRedis(redis: RedisClient, withinMs: number, needed: NeededRights): Promise<RedisFacts> {
  await becomesReady(redis, withinMs);
  try {
    const facts = combined((await Promise.all(primariesOf(redis).map((one) => one.info()))).map(factsOf));
    if (facts.mode === 'sentinel')
      throw new Error("is a Sentinel: name it in _REDIS_SENTINELS, and give the URL its primary's name as host");
    if (redis instanceof RedisCluster && facts.mode !== 'cluster')
      throw new Error('is no Redis Cluster: leave _REDIS_CLUSTER_NODES out');
    if (!(redis instanceof RedisCluster) && facts.mode === 'cluster' && (await mastersOf(redis)) > 1)
      throw new Error('is one of several nodes of a Redis Cluster: name others in _REDIS_CLUSTER_NODES');
    if (facts.isReadOnly) throw new Error('is a read-only replica: give the address of its primary');
    if (isOlder(facts.version, LEAST_VERSION))
      throw new Error(
        `is Redis ${facts.version}, which is too old: give one of version ${LEAST_VERSION.join('.')} or later`,
      );
    await tryRights(redis, needed);
    return facts;
  } catch (cause) {
    throw refusal(redis, cause);
  }
}

/** @throws Error that names what is denied */
async function tryRights(redis: RedisClient, { commands, keys, channels }: NeededRights): Promise<void> {
  const tried = keys.map(({ pattern, access }): [string, readonly string[]] => [unused(pattern), PROBE_OF[access]]);
  const whole = keys.find(({ pattern, access }) => access === 'both' && pattern.includes('*'));
  if (whole !== undefined) tried.unshift([unused(whole.pattern), commands.filter((name) => name in PROBES)]);
  for (const [key, names] of tried) {
    const denied = new Set<string>();
    let isKeyDenied = false;
    const note = (name: string, cause: unknown): void => {
      if (isDown(cause)) throw cause;
      if (!missesRight(cause)) return;
      denied.add(name);
      // Redis names the command, or says that a key is not ours. One that cannot even be read is out of reach.
      isKeyDenied ||= name === 'get' && / key/.test(String(cause));
    };
    await Promise.all(names.map((name) => run(redis, name, key).catch((cause: unknown) => note(name, cause))));
    if (isKeyDenied) throw new Error(`does not let our user run or reach our keys, such as ${key}: ${RIGHTS}`);
    if (denied.size > 0) throw new Error(`does not let our user run ${[...denied].join(', ')} on ${key}: ${RIGHTS}`);
  }
  if (commands.includes('multi')) await redis.multi().time().exec().catch(refuseMissingRight);
  for (const channel of channels.map(unused)) {
    if (commands.includes('publish')) await redis.publish(channel, '');
    if (commands.includes('subscribe')) await listens(redis, channel);
  }
}

/** The node of a cluster serves no key now. */
function isDown(cause: unknown): boolean {
  return cause instanceof Error && cause.message.startsWith('CLUSTERDOWN');
}

/** A key or channel of this pattern that no program uses. */
function unused(pattern: string): string {
  return pattern.replaceAll('*', 'check');
}

function run(redis: RedisClient, command: string, key: string): Promise<unknown> {
  return redis.call(command, ...(PROBES[command] ?? []).map((word) => (word === 'K' ? key : word)));
}

/**
 * How many nodes have slots, as `CLUSTER INFO` tells; NaN: it does not tell. One has all of them behind the one address of a
 * managed service.
 */
async function mastersOf(redis: RedisClient): Promise<number> {
  const page = await redis.cluster('INFO').catch(() => '');
  return Number(/^cluster_size:(\d+)/m.exec(String(page))?.[1] ?? NaN);
}

function isOlder(version: string, [least, leastMinor]: readonly [number, number]): boolean {
  const [major = NaN, minor = NaN] = version.split('.').map(Number);
  return major < least || (major === least && minor < leastMinor);
}

/** For the `catch` of a command during a start that a Redis refuses, for example because it is full. */
export function refusedBy(redis: RedisClient): (cause: unknown) => never {
  return (cause) => {
    throw refusal(redis, cause);
  };
}

/** One sentence about a Redis that failed a command. */
function refusal(redis: RedisClient, cause: unknown): Error {
  const place = placeOf(redis);
  return new Error(`${place.name} ${explain(cause, place)}`, { cause });
}

/** Ignores refusals of a full Redis, which refuses every transaction but may have memory again later. */
function refuseMissingRight(error: unknown): void {
  if (missesRight(error)) throw error;
}

async function listens(redis: RedisClient, channel: string): Promise<void> {
  const listener =
    redis instanceof RedisCluster
      ? redis.duplicate([], { enableOfflineQueue: true })
      : redis.duplicate({ enableOfflineQueue: true });
  listener.on('error', () => {});
  try {
    await listener.subscribe(channel);
  } finally {
    listener.disconnect();
  }
}

async function becomesReady(redis: RedisClient, withinMs: number): Promise<void> {
  let last: unknown;
  let refuse: (error: Error) => void = () => {};
  const onError = (error: Error): void => {
    // The end of a connection explains less than an error before it.
    if (last === undefined || !isClosed(error)) last = error;
    if (whyNot(error, placeOf(redis))?.isFinal === true) refuse(refusal(redis, error));
  };
  const onClose = (): void => {
    last ??= new Error('Connection is closed');
  };
  const tooLate = async (): Promise<Error> => {
    if (last === undefined) return new Error(`${placeOf(redis).name} ${silence(withinMs, redis)}`);
    return refusal(redis, (isClosed(last) ? await greetingOf(redis) : undefined) ?? last);
  };
  const [opened, failed] = redis instanceof RedisCluster ? ['whole', 'node error'] : ['ready', 'error'];
  redis.on('error', onError);
  redis.on(failed, onError);
  redis.on('close', onClose);
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      isOpen(redis) ? redis.ping() : new Promise<void>((resolve) => redis.once(opened, resolve)),
      new Promise<never>((_resolve, reject) => {
        refuse = reject;
        timer = setTimeout(() => void tooLate().then(reject), withinMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    redis.off('error', onError);
    redis.off(failed, onError);
    redis.off('close', onClose);
  }
}

/** Reads the error that a refusing Redis sends before it closes, too early for a client library. */
async function greetingOf(redis: RedisClient): Promise<Error | undefined> {
  const { host, port } = placeOf(redis);
  const socket = connect({ host, port });
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  socket.on('error', () => {});
  await within(GREETING_MS, once(socket, 'close'));
  socket.destroy();
  return said.startsWith('-') ? new Error(said.slice(1)) : undefined;
}

function silence(withinMs: number, redis: RedisClient): string {
  if (placeOf(redis).hasTls && redis.status === 'connecting') return NO_TLS;
  return `did not answer within ${withinMs} ms: is it running, and is this its port?`;
}
