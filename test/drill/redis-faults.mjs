// @ts-check
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { askEngine } from '../support/engine-request.mjs';
import { runDrill } from './drill.mjs';
import { known, latenessMs, pause, sendSignal, until } from './processes.mjs';
import { ONE, over4s, REDIS_LOSSES } from './redis-losses.mjs';
import { RedisServer } from './redis-server.mjs';
import { startProxy } from './tcp-proxy.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill */

const FULL_MS = 2_000;
const KILLS = 10;
const PAUSE_MS = 3_000;
/** The short form shares the CPU with other tests; both limits are far below the deadline. */
const MUTE_ANSWER_MS = { short: 10_000, full: 5_000 };
const RECOVERED_WITHIN_MS = 60_000;
const RedisViews = z.object({ redis: z.record(z.string(), z.object({ state: z.string() })) });
const DISK_BYTES = 48 * 1024 * 1024;

/** @type {Drill} */
const connectionsKilled = {
  name: 'redis-connections-killed',
  about: `all connections to Redis killed ${KILLS} times within a second`,
  run: (setup) =>
    runDrill(setup, {
      stack: ONE,
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        const { client } = scene.stack.redis;
        for (let i = 0; i < KILLS; i += 1) {
          for (const type of ['normal', 'pubsub']) await client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
          await pause(1_000 / KILLS);
        }
      },
    }),
};

/** @type {Drill} */
const full = {
  name: 'redis-full',
  about: `Redis out of memory for ${FULL_MS / 1_000} s, nothing evicted`,
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: ONE,
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        const { client } = scene.stack.redis;
        await client.config('SET', 'maxmemory', '1');
        await pause(FULL_MS);
        await client.config('SET', 'maxmemory', '0');
      },
    }),
};

/** Number of requests that the engines have finished. @param {import('./stack.mjs').Stack} stack */
async function servedByEngines(stack) {
  let served = 0;
  for (const engine of await stack.engines()) {
    const page = await (await askEngine(engine, '/metrics')).text();
    for (const [, count] of page.matchAll(/^vllm:request_success_total\{.*\} (\S+)$/gm)) served += Number(count);
  }
  return served;
}

/** @type {Drill} */
const mute = {
  name: 'redis-mute',
  about: `Redis accepts connections and never answers; no old connection is ever reset`,
  run: async (setup) => {
    const redis = await RedisServer.start();
    const proxy = await startProxy(() => redis.port);
    try {
      return await runDrill(setup, {
        stack: { ...ONE, redis, redisUrl: `redis://127.0.0.1:${proxy.port}`, gateways: 2 },
        load: { everyMs: 0 },
        fault: async (scene) => {
          // Requests that run when the silence begins may end in any way; only later ones count.
          const first = scene.load({ requests: setup.requests / 3, everyMs: 5 });
          await first.underWay(setup.requests / 6);
          await first.ended;
          const served = await servedByEngines(scene.stack);
          proxy.mute(true);
          const refused = scene.load();
          await refused.ended;
          const withinMs = MUTE_ANSWER_MS[setup.short ? 'short' : 'full'] + latenessMs(1);
          const right = refused.answers.filter(
            ({ status, kind, retryAfter, sentAt, endedAt }) =>
              (status === 503 || (kind === 'score' && status === 424)) && retryAfter > 0 && endedAt - sentAt < withinMs,
          );
          scene.check(
            right.length === refused.sent,
            `${right.length} of ${refused.sent} were refused with a time to wait within ${Math.round(withinMs)} ms`,
          );
          const slowest = Math.max(...refused.answers.map(({ sentAt, endedAt }) => endedAt - sentAt));
          scene.note(`slowest refusal: ${Math.round(slowest)} ms`);
          proxy.mute(false);
          await until('the gateways are connected again', () => allWell(scene.stack), RECOVERED_WITHIN_MS);
          await scene.stack.ready(1);
          await scene.stack.quiet(RECOVERED_WITHIN_MS);
          scene.check((await servedByEngines(scene.stack)) === served, 'a refused request ran later');
        },
      });
    } finally {
      await proxy.stop();
    }
  },
};

/** @param {import('./stack.mjs').Stack} stack */
async function allWell(stack) {
  const running = [...stack.runningGateways(), ...stack.launchers.filter(({ ended }) => !ended())];
  const pages = await Promise.all(
    running.map(async ({ internalUrl }) => (await fetch(`${internalUrl}/status`)).json()),
  );
  return pages.every((page) => Object.values(RedisViews.parse(page).redis).every(({ state }) => state === 'ok'));
}

/** @type {Drill} */
const paused = {
  name: 'redis-paused',
  about: `Redis is stopped for ${PAUSE_MS / 1_000} s: no request is lost or refused`,
  run: (setup) =>
    runDrill(setup, {
      stack: ONE,
      load: over4s(setup.requests),
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        const [server] = scene.stack.redis.pids().map(known);
        if (server === undefined) throw new Error('no Redis');
        sendSignal(server, 'SIGSTOP');
        await pause(PAUSE_MS);
        sendSignal(server, 'SIGCONT');
        await load.ended;
        const { complete, sent } = load.ledger.row;
        scene.check(complete === sent, `${complete} of ${sent} answered`);
      },
    }),
};

/** @returns {string | undefined} */
function noDisk() {
  if (process.getuid?.() !== 0) return 'a small disk can only be mounted by root';
  const folder = mkdtempSync(join(tmpdir(), 'penstock-drill-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine does not let a small disk be mounted';
  } finally {
    rmdirSync(folder);
  }
}

/** Fills the rest of a disk. @param {string} path */
function fill(path) {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(64 * 1024);
  try {
    for (let written = 0; written < DISK_BYTES * 2; written += block.length) writeSync(file, block);
  } catch {
    // full
  } finally {
    closeSync(file);
  }
}

/** @type {Drill} */
const diskFull = {
  name: 'redis-disk-full',
  about: `disk full under the append-only file for ${FULL_MS / 1_000} s`,
  missing: noDisk,
  run: async (setup) => {
    const disk = mkdtempSync(join(tmpdir(), 'penstock-drill-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
    try {
      const redis = await RedisServer.start({ folder: disk });
      return await runDrill(setup, {
        isFelt: true,
        stack: { ...ONE, redis },
        load: over4s(setup.requests),
        fault: async (scene) => {
          const load = scene.load();
          await load.underWay(setup.requests / 3);
          fill(join(disk, 'filler'));
          const isRefusing = async () => (await redis.client.info('persistence')).includes('aof_last_write_status:err');
          await until('Redis cannot write its file', isRefusing, RECOVERED_WITHIN_MS);
          await pause(FULL_MS);
          rmSync(join(disk, 'filler'));
        },
      });
    } finally {
      execFileSync('umount', [disk]);
      rmdirSync(disk);
    }
  },
};

export const REDIS_DRILLS = [mute, paused, ...REDIS_LOSSES, connectionsKilled, full, diskFull];
