// @ts-check
import { Refusal } from '../setup/refusal.mjs';
import { redisServes, startPrivateRedis } from './redis.mjs';

/** @typedef {import('./redis.mjs').PrivateRedis} PrivateRedis */

/**
 * Starts the two Redis of a start: one for the queue, one for bodies and replies.
 * @param {import('./source.mjs').RedisSource} source
 * @param {string | undefined} replies URL of an existing Redis for bodies and replies
 * @param {{ folder: import('../up/data-folder.mjs').DataFolder, guard: import('../up/guard.mjs').Guard, env: NodeJS.ProcessEnv,
 *   say: (line: string) => void, running: PrivateRedis[] }} deps `running` is filled as they start
 * @param {AbortSignal} signal
 * @returns {Promise<{ redisUrl: string, replyRedisUrl: string }>} once they answer
 * @throws Refusal when one exits before it answered
 */
export async function startOurRedis(source, replies, { folder, guard, env, say, running }, signal) {
  say(`redis (${source.kind === 'program' ? source.path : `container by ${source.runtime}`}) …`);
  /** @type {Map<string, number>} */
  const pids = new Map();
  /** @param {string} name @param {number | undefined} pid @param {string} url */
  const pidChanged = (name, pid, url) => {
    if (pid === undefined) pids.delete(name);
    else pids.set(name, pid);
    guard.tell('redis', [...pids.values()].join(' '));
    folder.note(name, pid, url);
  };
  /** @param {import('./redis.mjs').RedisRole} role */
  const start = async (role) => {
    signal.throwIfAborted();
    const redis = await startPrivateRedis(source, role, { folder, env, say, pidChanged });
    running.push(redis);
    guard.tell('container', removalOf(running).join(' '));
    await Promise.race([servesSoon(redis.url, signal), redis.kept.failed]);
    redis.kept.settled();
    return redis.url;
  };
  return { redisUrl: await start('queue'), replyRedisUrl: replies ?? (await start('replies')) };
}

/** One command that removes all their containers; empty if there is none. @param {readonly PrivateRedis[]} running */
export function removalOf(running) {
  const removals = running.map(({ removal }) => removal).filter((removal) => removal.length > 0);
  return [...(removals[0] ?? []), ...removals.slice(1).flatMap((removal) => removal.slice(-1))];
}

/** @param {string} url @param {AbortSignal} signal */
async function servesSoon(url, signal) {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await redisServes(url, signal);
    } catch (error) {
      // not listening yet; `failed` reports its exit
      if (!(error instanceof Refusal)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}
