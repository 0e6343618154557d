import type { Redis } from 'ioredis';
import { factsOf, type RedisFacts } from './redis-facts.ts';

/**
 * Commands of ours and of BullMQ's scripts, each with arguments that change nothing or are undone; `K` stands for a key.
 * `deploy/README.md` gives them as the least rights of a user.
 */
const PROBES: readonly (readonly string[])[] = [
  ['set', 'K', '1', 'PX', '1000'],
  ['get', 'K'],
  ['mget', 'K'],
  ['exists', 'K'],
  ['pttl', 'K'],
  ['pexpire', 'K', '1000'],
  ['incr', 'K'],
  ['incrby', 'K', '1'],
  ['decrby', 'K', '1'],
  ['del', 'K'],
  ['hset', 'K', 'f', '1'],
  ['hget', 'K', 'f'],
  ['hmget', 'K', 'f'],
  ['hgetall', 'K'],
  ['hmset', 'K', 'f', '1'],
  ['hexists', 'K', 'f'],
  ['hincrby', 'K', 'f', '1'],
  ['hdel', 'K', 'f'],
  ['zadd', 'K', '1', 'm'],
  ['zcard', 'K'],
  ['zcount', 'K', '0', '1'],
  ['zscore', 'K', 'm'],
  ['zrange', 'K', '0', '0'],
  ['zrangebyscore', 'K', '0', '0'],
  ['zremrangebyscore', 'K', '0', '0'],
  ['zpopmin', 'K'],
  ['bzpopmin', 'K', '1'],
  ['zrem', 'K', 'm'],
  ['lpush', 'K', 'm'],
  ['llen', 'K'],
  ['lrange', 'K', '0', '0'],
  ['lpos', 'K', 'm'],
  ['lrem', 'K', '0', 'm'],
  ['rpoplpush', 'K', 'K'],
  ['sadd', 'K', 'm'],
  ['srem', 'K', 'm'],
  ['smembers', 'K'],
  ['xadd', 'K', '*', 'f', '1'],
  ['xrange', 'K', '-', '+', 'COUNT', '1'],
  ['xread', 'COUNT', '1', 'STREAMS', 'K', '0'],
  ['xtrim', 'K', 'MAXLEN', '0'],
  ['time'],
];

/** KEYS: 1 a key that nobody uses. ARGV: 1 the probes as JSON. Returns what the user may not, or nothing. */
const PROBE = `
local denied = {}
for _, probe in ipairs(cjson.decode(ARGV[1])) do
  for i = 2, #probe do if probe[i] == 'K' then probe[i] = KEYS[1] end end
  local ok = redis.pcall(unpack(probe))
  if type(ok) == 'table' and ok.err then
    if string.find(ok.err, 'permission') or string.find(ok.err, 'ACL') or string.find(ok.err, "can't run") then
      table.insert(denied, probe[1])
    end
    if string.find(ok.err, 'WRONGTYPE') then redis.pcall('DEL', KEYS[1]) redis.pcall(unpack(probe)) end
  end
end
redis.pcall('DEL', KEYS[1])
return denied`;

/**
 * Waits until a Redis answers, and makes sure that it is one that can be served from.
 * @param keys such as it will be used with, that nobody uses, and such a channel; `subscribes`: it is listened to as well
 * @returns what it is
 * @throws Error in one sentence that says what is wrong and what to do
 */
export async function requireRedis(
  redis: Redis,
  withinMs: number,
  keys: { readonly unused: readonly string[]; readonly channel: string; readonly subscribes?: boolean },
): Promise<RedisFacts> {
  const at = `Redis at ${redis.options.host ?? 'localhost'}:${String(redis.options.port ?? 6379)}`;
  await becomesReady(redis, at, withinMs);
  try {
    const facts = factsOf(await redis.info());
    if (facts.mode === 'sentinel')
      throw new Error('is a Sentinel: give the address of the primary, or of a proxy that leads to it');
    if (facts.mode === 'cluster')
      throw new Error('is a Redis Cluster, which is not served: give one without cluster mode');
    if (facts.isReadOnly) throw new Error('is a read-only replica: give the address of its primary');
    for (const key of keys.unused) {
      const denied = await redis.eval(PROBE, 1, key, JSON.stringify(PROBES));
      if (Array.isArray(denied) && denied.length > 0)
        throw new Error(`does not let our user run ${denied.join(', ')} on ${key}: ${RIGHTS}`);
    }
    await redis.evalsha('0'.repeat(40), 0).catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error;
    });
    await redis.publish(keys.channel, '');
    if (keys.subscribes === true) await listens(redis, keys.channel);
    return facts;
  } catch (cause) {
    throw new Error(`${at} ${explain(cause, redis)}`, { cause });
  }
}

const RIGHTS = 'give it the rights that deploy/README.md lists';

async function listens(redis: Redis, channel: string): Promise<void> {
  const listener = redis.duplicate({ enableOfflineQueue: true });
  listener.on('error', () => {});
  try {
    await listener.subscribe(channel);
  } finally {
    listener.disconnect();
  }
}

async function becomesReady(redis: Redis, at: string, withinMs: number): Promise<void> {
  let last: unknown;
  const onError = (error: Error): void => {
    // That a connection ended says less than why.
    const isVague = /Stream isn't writeable|ECONNRESET|EPIPE|Connection is closed/.test(error.message);
    if (last === undefined || !isVague) last = error;
  };
  redis.on('error', onError);
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      redis.status === 'ready' ? redis.ping() : new Promise<void>((resolve) => redis.once('ready', resolve)),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`${at} ${last === undefined ? silence(withinMs, redis) : explain(last, redis)}`));
        }, withinMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    redis.off('error', onError);
  }
}

function silence(withinMs: number, { options, status }: Redis): string {
  if (options.tls !== undefined && status === 'connecting')
    return `does not speak TLS, or not within ${String(withinMs)} ms: begin the URL with redis://, or give its port for TLS`;
  return `did not answer within ${String(withinMs)} ms: is it running, and is this its port?`;
}

/** What stands in a library's error, in a sentence of ours. */
function explain(error: unknown, { options }: Redis): string {
  const message =
    typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const says = (pattern: RegExp): boolean => pattern.test(message) || pattern.test(code);
  if (says(/^(is a|does not let)/)) return message;
  if (says(/DB index|SELECT is not allowed|invalid DB/i))
    return `has no database ${String(options.db)}: let the URL end in one that it has, such as /0; two installations on one are kept apart by _REDIS_PREFIX`;
  if (says(/WRONGPASS|NOAUTH|invalid password|AUTH failed/i))
    return 'refuses our user or password: check _REDIS_USERNAME and _REDIS_PASSWORD, or what the URL holds';
  if (says(/NOPERM|no permission/i)) {
    const what = /'([\w|]+)' command/.exec(message)?.[1] ?? (says(/channel/i) ? 'our channels' : 'our keys');
    return `does not let our user run or reach ${what}: ${RIGHTS}`;
  }
  if (says(/Protocol error|RESP type/i))
    return 'does not speak the protocol of Redis: is this the port of another service?';
  if (says(/WRONG_VERSION|wrong version number|packet length|EPROTO|before secure TLS|unknown protocol/i))
    return 'does not speak TLS: begin the URL with redis://, or give its port for TLS';
  if (says(/certificate|self.signed|ALTNAME/i))
    return `has a certificate that is not trusted (${message.slice(0, 100)}): see _REDIS_CA_FILE`;
  if (says(/ENOTFOUND|EAI_AGAIN/)) return 'has a name that cannot be resolved: check the URL';
  if (says(/READONLY/)) return 'is a read-only replica: give the address of its primary';
  if (says(/MOVED|CLUSTERDOWN|cluster/i))
    return 'is a Redis Cluster, which is not served: give one without cluster mode';
  if (options.tls === undefined && says(/ECONNRESET|EPIPE|Connection is closed/))
    return 'closes each connection at once: a port for TLS needs a URL that begins with rediss://';
  if (says(/ECONNRESET|EPIPE|Connection is closed/)) return 'closes each connection at once: is this its port?';
  if (says(/ETIMEDOUT|timed out|timeout/i))
    return 'does not answer: is it running, and does a firewall let us through?';
  if (says(/ECONNREFUSED/)) return 'refuses connections: is it running, and is this its port?';
  return `does not serve us: ${message.slice(0, 200)}`;
}
