import { Redis, type Command } from 'ioredis';
import type { Log } from './log.ts';
import type { RedisTarget } from './redis-target.ts';

/** `patient` waits out an outage; `fail_fast` refuses at once while disconnected, for what a client waits on. */
export type RedisManner = 'patient' | 'fail_fast';

/** A connection attempt may take this long, in milliseconds. */
const CONNECT_MS = 4_000;
/** What a client waits on is given up after this long without an answer, in milliseconds: a pause of 3 s costs nothing. */
const ANSWER_MS = 3_700;
/**
 * A connection with an unanswered command that brings no byte for this long is dead, in milliseconds. Above what any blocking
 * command of ours waits: BullMQ's `drainDelay` of 2 s, the reply reader's 500 ms.
 */
const SILENT_MS = 5_000;
/** An idle connection is asked this often, as one that died without a reset shows only in a command, in milliseconds. */
const PING_MS = 1_000;

/** A command that was given up by its time limit must not be sent again after a reconnect: its caller was told an error. */
class Connection extends Redis {
  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    return command.isSettled ? command.promise : super.sendCommand(command, stream);
  }
}

/**
 * One connection. Reconnects for ever, at most a second apart, also when Redis falls silent without a reset; an outage is
 * logged once and its end once. The password reaches no log.
 */
export function connectRedis(target: RedisTarget, manner: RedisManner, name: string, log: Log): Redis {
  const { url, ca, ...login } = target;
  const redis = new Connection(url, {
    ...login,
    ...(ca === undefined ? {} : { tls: { ca } }),
    connectionName: `penstock-${name}`,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    retryStrategy: (times: number) => Math.min(50 * times, 1_000),
    ...(manner === 'patient'
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: ANSWER_MS, socketTimeout: ANSWER_MS }),
  });
  let down = false;
  redis.on('error', (error: Error) => {
    // ioredis would go on in database 0, which may be somebody else's.
    if (isRefusedSelect(error)) redis.disconnect(true);
    if (!down) log.warn({ connection: name, reason: error.message }, 'redis connection lost');
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info({ connection: name }, 'redis connection is back');
    down = false;
  });
  let asking = false;
  const pinging = setInterval(() => {
    if (asking || redis.status !== 'ready') return;
    asking = true;
    const asked = (): void => {
      asking = false;
    };
    redis.ping().then(asked, asked);
  }, PING_MS).unref();
  redis.on('end', () => clearInterval(pinging));
  return redis;
}

function isRefusedSelect(error: object): boolean {
  const command = 'command' in error ? error.command : undefined;
  return typeof command === 'object' && command !== null && 'name' in command && command.name === 'select';
}
