import { redisKeys } from './redis-keys.ts';
import { UNKNOWN_MODEL } from './usage.ts';

/**
 * The least rights that each program needs in each Redis. `penstock redis acl` prints them as a user, and a start tries each of
 * them (`runtime/redis-check.ts`). Redis checks the commands and keys of a script like those of its caller.
 */
export interface RedisRights {
  readonly commands: readonly string[];
  /** patterns of Redis. `read` and `write` alone need Redis 7 */
  readonly keys: readonly { readonly pattern: string; readonly access: 'read' | 'write' | 'both' }[];
  readonly channels: readonly string[];
}

/** `first`: queue, registry, control, durable answers. `second`: bodies and replies. `single`: all in one. */
export type RedisPart = 'first' | 'second' | 'single';

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

const EACH = words('auth hello ping info select time client|setname');
/** A program's own client needs these besides, on a cluster of several addresses. */
const CLUSTER = words('cluster|slots cluster|info asking readonly readwrite');
const WORKER = {
  first: words(`eval evalsha subscribe unsubscribe multi exec bzpopmin
    set get exists pttl pexpire incr del
    hset hget hmget hgetall hmset hexists hincrby hdel
    zadd zcard zscore zrange zrevrange zrangebyscore zrevrangebyscore zremrangebyscore zremrangebyrank zrem zpopmin
    lpush llen lrange lrem ltrim rpoplpush sadd srem smembers scard
    xadd xrange xrevrange xtrim`),
  second: words('get exists pttl unlink xadd xrange'),
};
const GATEWAY = {
  first: words(`eval evalsha publish multi exec bzpopmin wait
    set get exists pttl pexpire incr incrby decrby del
    hset hget hmget hgetall hmset hexists hincrby hdel
    zadd zcard zcount zscore zrange zrevrange zrangebyscore zrevrangebyscore zremrangebyscore zremrangebyrank zrem zpopmin
    lpush llen lrange lpos lrem ltrim lindex lpop rpop rpoplpush
    sadd srem smembers scard xadd xrange xrevrange xread xtrim`),
  second: words('set get exists pttl pexpire del multi exec xadd xread xtrim'),
};

/**
 * A worker gets what concerns its models alone. It can neither read another model's requests nor write where their answers
 * are taken from, nor reach what gateways have of callers: their limits, idempotency keys and items.
 * @param models of a worker; of a gateway: all that it serves, or none for all models that there ever are
 * @param isCluster of several addresses
 */
export function redisRights(
  role: 'gateway' | 'worker',
  part: RedisPart,
  models: readonly string[],
  isCluster = false,
): RedisRights {
  const parts = part === 'single' ? (['first', 'second'] as const) : [part];
  const rights = parts.map((one) => (role === 'worker' ? workerRights(one, models) : gatewayRights(one, models)));
  return {
    commands: [...new Set([...EACH, ...(isCluster ? CLUSTER : []), ...rights.flatMap(({ commands }) => commands)])],
    keys: merged(rights.flatMap(({ keys }) => keys)),
    channels: rights.flatMap(({ channels }) => channels),
  };
}

function workerRights(part: 'first' | 'second', models: readonly string[]): RedisRights {
  if (part === 'second') {
    const keys = models.flatMap((model) => [redisKeys.replies(`{*}:${model}`), redisKeys.body(model, '*')]);
    return { commands: WORKER.second, keys: keys.map((pattern) => ({ pattern, access: 'both' })), channels: [] };
  }
  const keys = models.flatMap((model): RedisRights['keys'] => {
    const both = [
      ...['text', 'image'].map((kind) => `${redisKeys.queuePrefix(model)}:${kind}:*`),
      redisKeys.loads(model, '*'),
      redisKeys.answer(model, '*'),
      redisKeys.answerLog(model, '*'),
      redisKeys.usageNotes(model, '*'),
      redisKeys.usageKeys(model, '*'),
      redisKeys.workersOf(model),
      redisKeys.workerOf(model, '*'),
    ];
    return [
      ...both.map((pattern) => ({ pattern, access: 'both' }) as const),
      { pattern: redisKeys.body(model, '*'), access: 'read' },
      { pattern: `${redisKeys.ownersPrefix(model)}*`, access: 'write' },
    ];
  });
  return { commands: WORKER.first, keys, channels: models.map((model) => redisKeys.control(`*@${model}`)) };
}

function gatewayRights(part: 'first' | 'second', models: readonly string[]): RedisRights {
  // What was refused before its model was known is in the usage too.
  const tags =
    models.length === 0 ? [redisKeys.queuePrefix('*')] : [...models, UNKNOWN_MODEL].map(redisKeys.queuePrefix);
  if (part === 'second') {
    const bodies = tags.map((tag) => `${tag}:body:*`);
    const keys = [redisKeys.replies('*'), redisKeys.onceAnswer('*'), ...bodies];
    return { commands: GATEWAY.second, keys: keys.map((pattern) => ({ pattern, access: 'both' })), channels: [] };
  }
  const own = [
    redisKeys.usageModels(),
    redisKeys.limitPrefix('*'),
    redisKeys.once('*'),
    redisKeys.workers(),
    redisKeys.worker('*'),
    redisKeys.cacheSaltSecret(),
    redisKeys.deaths('*'),
    redisKeys.quarantine(),
  ];
  const ofModels = [
    ...tags.map((tag) => `${tag}:*`),
    ...(models.length === 0 ? [] : [`${redisKeys.webhooksPrefix()}:*`]),
  ];
  const keys = [...own, ...ofModels].map((pattern) => ({ pattern, access: 'both' }) as const);
  return { commands: GATEWAY.first, keys, channels: [redisKeys.control('*')] };
}

/** Patterns of several parts, each once, with what all of them need. */
function merged(keys: RedisRights['keys']): RedisRights['keys'] {
  const accesses = new Map<string, 'read' | 'write' | 'both'>();
  for (const { pattern, access } of keys) {
    const before = accesses.get(pattern) ?? access;
    accesses.set(pattern, before === access ? access : 'both');
  }
  return [...accesses].map(([pattern, access]) => ({ pattern, access }));
}

/**
 * The rules of a user of Redis with these rights.
 * @param isRedis6 keys have one kind of access, which reads and writes
 */
export function aclRules({ commands, keys, channels }: RedisRights, isRedis6: boolean): string[] {
  const kinds = { read: isRedis6 ? '~' : '%R~', write: isRedis6 ? '~' : '%W~', both: '~' };
  return [
    'resetkeys',
    ...keys.map(({ pattern, access }) => `${kinds[access]}${pattern}`),
    'resetchannels',
    ...channels.map((pattern) => `&${pattern}`),
    '-@all',
    ...commands.map((command) => `+${command}`),
  ];
}
