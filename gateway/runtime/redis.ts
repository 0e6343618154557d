import { Socket } from 'node:net';
import { Redis, type Command, type RedisOptions } from 'ioredis';
import type { Log } from './log.ts';
import { tlsOptions, type RedisTarget } from './redis-target.ts';

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

class Connection extends Redis {
  #isCorked = false;

  /** Never sends a command again after a reconnect if its timeout passed: its caller already got an error. */
  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    if (command.isSettled) return command.promise;
    this.#cork();
    return super.sendCommand(command, stream);
  }

  /** Commands of one turn of the event loop share one write to the socket. A write each costs more than the commands. */
  #cork(): void {
    const { stream } = this;
    // Absent before the first connection.
    if (this.#isCorked || !(stream instanceof Socket)) return;
    this.#isCorked = true;
    stream.cork();
    setImmediate(() => {
      this.#isCorked = false;
      stream.uncork();
    });
  }
}

/**
 * Opens one connection. It reconnects for ever, at most a second apart, also when Redis falls silent without a reset. If the
 * server is no longer the primary, all connections to it reconnect, because reads and subscriptions do not show that. The
 * log has one line for an outage and one for its end. The password reaches no log.
 */
export function connectRedis(target: RedisTarget, manner: RedisManner, name: string, log: Log): Redis {
  const { url, username, password } = target;
  const tls = tlsOptions(target);
  const redis = new Connection(url, {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    connectionName: `penstock-${name}`,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    retryStrategy: (times: number) => Math.min(50 * times, 1_000),
    // If true, this connection reconnects too, if it is a duplicate. The command fails, and is not sent again.
    reconnectOnError: ({ message }) => DEMOTED.test(message) && leave(message),
    ...OPTIONS[manner],
  });
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
  let down = false;
  redis.on('error', (error: Error) => {
    // ioredis would go on in database 0, which another program may own.
    if (isRefusedSelect(error)) redis.disconnect(true);
    if (!down) log.warn({ connection: name, reason: error.message }, 'redis connection lost');
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info({ connection: name }, 'redis connection restored');
    down = false;
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
