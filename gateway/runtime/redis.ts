import { Redis, type ClusterOptions, type RedisOptions } from 'ioredis';
import type { Log } from './log.ts';
import type { RedisClient } from './redis-client.ts';
import { RedisCluster } from './redis-cluster.ts';
import { sendInTurns } from './redis-sending.ts';
import { credentialsOf, tlsOptions, type RedisTarget } from './redis-target.ts';

/**
 * `patient` waits out an outage; `fail_fast` refuses immediately, for commands that a client waits for. `once` refuses
 * too, and sends no command again on another connection: one whose reply was lost never settles.
 */
export type RedisManner = 'patient' | 'fail_fast' | 'once';

/** Timeout of a connection attempt, in milliseconds. */
const CONNECT_MS = 4_000;
/** Timeout of a command that a client waits for, in milliseconds: a pause of 3 s costs no request. */
const ANSWER_MS = 3_700;
/**
 * A connection with an unanswered command that receives no byte for this long counts as lost, in milliseconds. It is
 * longer than every blocking command: BullMQ's `drainDelay` of 2 s, the reply reader's 500 ms.
 */
const SILENT_MS = 5_000;
/** Interval of pings on an idle connection, in ms: only a command shows a loss without a reset. */
const PING_MS = 1_000;

/** What a server says that was a primary, and is a replica now. It keeps its connections. */
const DEMOTED = /READONLY|^UNBLOCKED|^MASTERDOWN/;
/** Least time between two reconnections because of it, in ms: its address might not lead to the primary yet. */
const LEFT_EVERY_MS = 1_000;
/** Connections of this process to each address, and when they were all left. */
const peers = new WeakMap<RedisTarget, { readonly open: Set<Redis>; leftAt: number }>();

const OPTIONS = {
  patient: { maxRetriesPerRequest: null },
  fail_fast: {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    commandTimeout: ANSWER_MS,
    socketTimeout: ANSWER_MS,
  },
  once: { maxRetriesPerRequest: null, enableOfflineQueue: false, autoResendUnfulfilledCommands: false },
} satisfies Record<RedisManner, RedisOptions>;

/** The same of a cluster. ioredis sends a command again as often as `maxRedirections`, 100 ms apart, while its node is gone. */
const CLUSTER_OPTIONS = {
  patient: { maxRedirections: Infinity },
  fail_fast: { maxRedirections: 40, enableOfflineQueue: false },
  once: { maxRedirections: 16, enableOfflineQueue: false, retryDelayOnFailover: 0 },
} satisfies Record<RedisManner, ClusterOptions>;

/**
 * Opens one connection, or those to the nodes of a cluster. They reconnect for ever, at most a second apart, also when Redis
 * falls silent without a reset. If the server is no longer the primary, all connections to it reconnect, because reads and
 * subscriptions do not show that. The log has one line for an outage and one for its end. The password reaches no log.
 */
export function connectRedis(target: RedisTarget, manner: RedisManner, name: string, log: Log): RedisClient {
  const redis =
    target.clusterNodes === undefined ? connectOne(target, manner, name, log) : connectCluster(target, manner, name);
  target.login?.follow(redis);
  const told = { down: false };
  const isDown = (error: Error): void => {
    if (!told.down) log.warn({ connection: name, reason: error.message }, 'redis connection lost');
    told.down = true;
  };
  redis.on('error', isDown);
  if (redis instanceof RedisCluster) {
    redis.on('node error', isDown);
    redis.on('lost', () => isDown(new Error('a node of the cluster is gone, or gave its place to another')));
  }
  redis.on(redis instanceof RedisCluster ? 'whole' : 'ready', () => {
    if (told.down) log.info({ connection: name }, 'redis connection restored');
    told.down = false;
  });
  return redis;
}

/** What a connection to any node needs. */
function optionsOf(target: RedisTarget, manner: RedisManner, name: string) {
  const { protocol, pathname } = new URL(target.url);
  const login = credentialsOf(target);
  return {
    ...(login.username === '' ? {} : { username: login.username }),
    ...(login.password === '' ? {} : { password: login.password }),
    ...(protocol === 'rediss:' ? { tls: tlsOptions(target) ?? {} } : {}),
    db: Number(pathname.slice(1)),
    replyMapping: 'legacy' as const,
    connectionName: `penstock-${name}`,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    ...OPTIONS[manner],
  } satisfies RedisOptions;
}

function connectCluster(target: RedisTarget, manner: RedisManner, name: string): RedisCluster {
  return new RedisCluster(target.clusterNodes ?? [], {
    clusterRetryStrategy: (times) => Math.min(50 * times, 1_000),
    // A certificate has the names of its nodes, not their addresses.
    dnsLookup: (host, callback) => callback(null, host),
    ...CLUSTER_OPTIONS[manner],
    redisOptions: optionsOf(target, manner, name),
  });
}

function connectOne(target: RedisTarget, manner: RedisManner, name: string, log: Log): Redis {
  const { sentinel } = target;
  const { hostname, port } = new URL(target.url);
  const options = optionsOf(target, manner, name);
  const place =
    sentinel === undefined
      ? { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port === '' ? 6379 : port) }
      : {
          sentinels: [...sentinel.nodes],
          name: hostname,
          sentinelRetryStrategy: (times: number) => Math.min(50 * times, 1_000),
          ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
          ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
          ...(options.tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
        };
  const redis = new Redis({
    ...options,
    ...place,
    retryStrategy: (times: number) => Math.min(50 * times, 1_000),
    // If true, this connection reconnects too, if it is a duplicate. The command fails, and is not sent again.
    reconnectOnError: ({ message }) => DEMOTED.test(message) && leave(message),
  });
  sendInTurns(redis);
  const all = peers.get(target) ?? { open: new Set(), leftAt: -Infinity };
  peers.set(target, all);
  all.open.add(redis);
  const leave = (reason: string): boolean => {
    if (performance.now() - all.leftAt < LEFT_EVERY_MS) return false;
    all.leftAt = performance.now();
    log.warn({ connection: name, reason }, 'redis is no primary any more');
    for (const one of all.open) if (one.status === 'ready') one.disconnect(true);
    return true;
  };
  redis.on('error', (error: Error) => {
    // ioredis would go on in database 0, which another program may own.
    if (isRefusedSelect(error)) redis.disconnect(true);
  });
  let asking = false;
  const asked = (): void => {
    asking = false;
  };
  const pinging = setInterval(() => {
    if (asking || redis.status !== 'ready') return;
    asking = true;
    redis.ping().then(asked, asked);
  }, PING_MS).unref();
  redis.on('close', asked);
  redis.on('end', () => {
    clearInterval(pinging);
    all.open.delete(redis);
  });
  return redis;
}

function isRefusedSelect(error: object): boolean {
  const command = 'command' in error ? error.command : undefined;
  return typeof command === 'object' && command !== null && 'name' in command && command.name === 'select';
}
