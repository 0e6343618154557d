// @ts-check
import { runDrill } from './drill.mjs';
import { known, pause, sendSignal } from './processes.mjs';
import { startRedisPair } from './redis-pair.mjs';
import { RedisServer } from './redis-server.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill */

const DOWN_MS = 1_000;
/** Spreads the requests over the fault and the time after it, however few they are. @param {number} requests */
export const over4s = (requests) => ({ everyMs: Math.max(30, 4_000 / requests) });

/** The harder case: all data is in the Redis that fails. */
export const ONE = { oneRedis: true };

/** @type {Drill} */
const killed = {
  name: 'redis-killed',
  about: `kill -9 of Redis, restarted after ${DOWN_MS / 1_000} s on the same append-only file (everysec)`,
  run: (setup) =>
    runDrill(setup, {
      stack: ONE,
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        await scene.stack.redis.kill();
        await pause(DOWN_MS);
        await scene.stack.redis.restart();
      },
    }),
};

/**
 * The primary is killed, its replica is promoted, and the address points to it.
 * @param {string} name @param {string} about @param {import('./drill.mjs').Plan['stack']} stack
 * @param {(scene: import('./drill.mjs').Scene) => Promise<void>} duringOutage runs while there is no Redis
 * @returns {Drill}
 */
function failover(name, about, stack, duringOutage) {
  return {
    name,
    about,
    run: async (setup) => {
      const pair = await startRedisPair();
      try {
        return await runDrill(setup, {
          stack: { ...ONE, ...stack, ...pair.stack },
          load: over4s(setup.requests),
          fault: async (scene) => {
            const load = scene.load();
            await load.underWay(setup.requests / 3);
            await pair.kill();
            await duringOutage(scene);
            await pause(DOWN_MS);
            await pair.promote();
          },
        });
      } finally {
        await pair.stop();
      }
    },
  };
}

const failedOver = failover(
  'redis-failover',
  'kill -9 of the Redis primary; its replica is promoted, and the address leads there',
  {},
  async () => {},
);

const failedOverEngineDead = failover(
  'redis-failover-engine-dies',
  'the same, and kill -9 of a busy engine while there is no Redis',
  { engines: 2 },
  async (scene) => {
    const engines = await scene.stack.engines();
    const busy = engines.find(({ inFlight }) => inFlight.text + inFlight.image > 0) ?? engines[0];
    const process = known(busy?.pid ?? 0);
    scene.check(process !== undefined, 'there is no engine to kill');
    if (process !== undefined) sendSignal(process, 'SIGKILL');
  },
);

/** @type {Drill} */
const restartedEmpty = {
  name: 'redis-restarts-empty',
  about: `kill -9 of a Redis without a file, which returns empty after ${DOWN_MS / 1_000} s`,
  run: async (setup) =>
    runDrill(setup, {
      isFelt: true,
      // Fewer slots than requests, so that some wait and are put back.
      stack: {
        ...ONE,
        redis: await RedisServer.start({ appendonly: false }),
        workerEnv: { WORKER_MAX_IN_FLIGHT_TEXT: '24', WORKER_MAX_IN_FLIGHT_IMAGE: '8' },
      },
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        const { redis } = scene.stack;
        await redis.kill();
        await pause(DOWN_MS);
        await redis.restart();
      },
    }),
};

/** @type {Drill} */
const repliesRestarted = {
  name: 'reply-redis-restarts',
  about: `kill -9 of the Redis of bodies and replies, which returns empty after ${DOWN_MS / 1_000} s`,
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      // Fewer slots than requests, so that some wait and their bodies are lost.
      stack: { workerEnv: { WORKER_MAX_IN_FLIGHT_TEXT: '24', WORKER_MAX_IN_FLIGHT_IMAGE: '8' } },
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        const { replyRedis } = scene.stack;
        const stored = (await replyRedis.client.keys('*:body:*')).length;
        await replyRedis.kill();
        await pause(DOWN_MS);
        await replyRedis.restart();
        scene.check(stored > 0, 'no body was lost');
        scene.note(`bodies lost: ${stored}`);
      },
    }),
};

/** A Redis is killed and returns with all its data, with nearly all, or with none. */
export const REDIS_LOSSES = [killed, failedOver, failedOverEngineDead, restartedEmpty, repliesRestarted];
