// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openDataFolder } from './data-folder.mjs';
import { askedToEnd } from './ending.mjs';
import { firstRequests, statusLine } from './pasted.mjs';
import { startGuard } from './guard.mjs';
import { redisUrl } from './options.mjs';
import { checkPorts, planPorts } from './ports.mjs';
import { prepare } from '../setup/prepare.mjs';
import { keepRunning } from './processes.mjs';
import { hostsOf, planPrograms, stopLimitMs } from './programs.mjs';
import { answersOk, followEngines, servedModel } from './readiness.mjs';
import { removalOf, startOurRedis } from '../redis/our-redis.mjs';
import { findRedis } from '../redis/source.mjs';
import { redisServes } from '../redis/redis.mjs';
import { Refusal } from '../setup/refusal.mjs';

/**
 * @typedef {import('./processes.mjs').Kept} Kept
 * @typedef {object} Setup
 * @property {string} root folder of package.json
 * @property {NodeJS.ProcessEnv} env
 * @property {(line: string) => void} say progress, for people
 * @property {(line: string) => void} complain the one sentence of a failed start
 * @property {import('./programs.mjs').ProgramFiles} [files] instead of the compiled programs
 */

/** Redis is stopped last and only has to close its file. */
const REDIS_STOP_MS = 1_500;

/**
 * Starts all programs, keeps them running until a request to stop, and stops them.
 * @param {import('./options.mjs').UpOptions} options
 * @param {Setup} setup
 * @returns {Promise<number>} exit code: 0 after a requested stop, 1 after a failed start
 */
export async function up(options, setup) {
  const { env, say, complain } = setup;
  const limitMs = stopLimitMs(env);
  /** @type {Running} */
  const running = { programs: [], redis: [], guard: undefined, folder: undefined };
  const asked = askedToEnd(env, () => {
    say('stopping immediately');
    for (const kept of [...running.programs, ...running.redis.map((redis) => redis.kept)]) kept.kill();
    removeContainers(running, env);
    running.folder?.close();
    process.exit(1);
  });
  let code = 0;
  let began = 0;
  asked.signal.addEventListener('abort', () => {
    began = performance.now();
    say(`stopping (${asked.signal.reason}) …`);
  });
  try {
    await startAll(options, setup, running, asked.signal);
    await untilAborted(new Promise(() => {}), asked.signal);
  } catch (error) {
    if (!asked.signal.aborted) {
      code = 1;
      began = performance.now();
      complain(error instanceof Refusal ? error.message : String(error instanceof Error ? error.stack : error));
    }
  }
  await Promise.all(running.programs.map((program) => program.stop(limitMs)));
  if (running.programs.length > 0) say('gateway and worker-launcher have exited');
  if (running.redis.length > 0) {
    await Promise.all(running.redis.map(({ kept }) => kept.stop(REDIS_STOP_MS)));
    removeContainers(running, env);
    say('redis has exited');
  }
  running.guard?.dismiss();
  running.folder?.close();
  asked.release();
  if (running.folder !== undefined) say(`stopped in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  return code;
}

/**
 * @typedef {object} Running the parts started so far
 * @property {Kept[]} programs
 * @property {import('../redis/redis.mjs').PrivateRedis[]} redis
 * @property {import('./guard.mjs').Guard | undefined} guard
 * @property {import('./data-folder.mjs').DataFolder | undefined} folder
 *
 * @param {import('./options.mjs').UpOptions} options
 * @param {Setup} setup
 * @param {Running} running filled step by step, so that a start that stops half-way leaves no process
 * @param {AbortSignal} signal
 */
async function startAll(options, setup, running, signal) {
  const { root, env, say } = setup;
  const began = performance.now();
  const files = setup.files ?? {
    gateway: join(root, 'dist/gateway/main.js'),
    launcher: join(root, 'dist/worker-launcher/main.js'),
  };
  const modelsDir = options.models ?? (env['GATEWAY_MODELS_DIR'] || join(root, 'deploy/models'));
  if (!existsSync(modelsDir))
    throw new Refusal(`the folder of model cards ${modelsDir} does not exist: choose another one with --models`);
  const plan = planPorts(options);
  // the folder first, because a killed start may still use the ports
  const folder = await openDataFolder(options.dataDir, say);
  running.folder = folder;
  await checkPorts(plan, hostsOf(env));
  const given = givenRedis(options, env);
  if (given.queue !== undefined) await untilAborted(redisServes(given.queue, signal), signal);

  // before the install, so that a missing Redis is reported before minutes of work
  const source = given.queue ?? (await findRedis({ env, root: process.getuid?.() === 0, say, signal }));
  const foundAt = performance.now();

  const { installSeconds, buildSeconds } = await prepare(root, { say, env, signal });
  const startedAt = performance.now();
  const guard = startGuard(stopLimitMs(env));
  running.guard = guard;
  folder.note('guard', guard.pid);
  const deps = { folder, guard, env, say };
  const redis =
    typeof source === 'string'
      ? { redisUrl: source, replyRedisUrl: given.replies }
      : await startOurRedis(source, given.replies, { ...deps, running: running.redis }, signal);
  say('redis ready');

  const { gateways, launchers } = planPrograms({ options, plan, ...redis, modelsDir, files, env });
  folder.tell([...gateways, ...launchers].map(({ name, internalUrl }) => ({ name, url: internalUrl })));
  /** @type {Map<string, number>} */
  const pids = new Map();
  for (const program of [...gateways, ...launchers]) {
    const kept = keepRunning(
      {
        name: program.name,
        command: process.execPath,
        args: ['--enable-source-maps', program.file],
        env: { ...env, ...program.settings },
        logFile: folder.inside(program.logName),
        ipc: true,
      },
      {
        say,
        pidChanged: (pid) => {
          if (pid === undefined) pids.delete(program.name);
          else pids.set(program.name, pid);
          guard.tell('programs', [...pids.values()].join(' '));
          folder.note(program.name, pid);
        },
      },
    );
    running.programs.push(kept);
  }
  say(`starting ${[...gateways, ...launchers].map(({ name }) => name).join(', ')} …`);
  await waitForEngines({ gateways, launchers, kept: running.programs }, say, signal);

  const [first] = gateways;
  const apiUrl = String(first?.apiUrl);
  const served = await servedModel(`${launchers[0]?.internalUrl}/status`);
  const needsKey = Boolean(env['GATEWAY_KEYS_FILE']);
  const requests = firstRequests(apiUrl, served ?? 'Phi-3-vision-128k-instruct', needsKey);
  const startSeconds = (performance.now() - startedAt) / 1_000;
  const lookSeconds = (foundAt - began) / 1_000;
  const parts = { install: lookSeconds + installSeconds, build: buildSeconds, start: startSeconds };
  const shown = Object.entries(parts).map(([name, seconds]) => `${name} ${seconds.toFixed(1)} s`);
  say(`${shown.join(', ')}, total ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  say(`logs and pids are in ${folder.path}; Ctrl-C stops everything`);
  for (const { name, apiUrl: url } of gateways.slice(1)) say(`${name} ${url}`);
  say(`ready ${apiUrl}`);
  say(`docs ${apiUrl}/docs`);
  for (const { internalUrl } of [...gateways, ...launchers]) say(`status ${internalUrl}/status`);
  say(`overview: ${statusLine(folder.path === resolve('.penstock') ? undefined : folder.path)}`);
  say(`\n${requests.chat}\n\n${requests.score}\n`);
}

/**
 * @param {object} started
 * @param {import('./programs.mjs').Program[]} started.gateways
 * @param {import('./programs.mjs').Program[]} started.launchers
 * @param {Kept[]} started.kept
 * @param {(line: string) => void} say
 * @param {AbortSignal} signal
 * @throws Refusal when a program exits before it answered, or no engine can be started
 */
async function waitForEngines({ gateways, launchers, kept }, say, signal) {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const troubles = kept.map(({ failed }) => failed);
  const answering = [...gateways, ...launchers].map(async ({ name, internalUrl }) => {
    await answersOk(`${internalUrl}/livez`, both);
    kept.find((one) => one.name === name)?.settled();
  });
  const following = launchers.map(({ name, internalUrl }) => followEngines(name, `${internalUrl}/status`, say, both));
  const ready = [
    ...gateways.map(({ internalUrl }) => answersOk(`${internalUrl}/readyz?workers=1`, both)),
    ...launchers.map(({ internalUrl }) => answersOk(`${internalUrl}/readyz`, both)),
  ];
  const all = Promise.all([...answering, ...ready]);
  for (const promise of [all, ...answering, ...following, ...ready]) promise.catch(() => {});
  try {
    await untilAborted(Promise.race([all, ...troubles, ...following]), signal);
  } finally {
    over.abort();
  }
}

/**
 * URLs of the given Redis for the queue and for bodies and replies; undefined: not given.
 * @param {import('./options.mjs').UpOptions} options @param {NodeJS.ProcessEnv} env
 */
function givenRedis(options, env) {
  /** @param {readonly string[]} names */
  const from = (names) => {
    const name = names.find((variable) => Boolean(env[variable]));
    return name === undefined ? undefined : redisUrl(String(env[name]), name);
  };
  return {
    queue: options.redis ?? from(['GATEWAY_REDIS_URL', 'WORKER_REDIS_URL']),
    replies: from(['GATEWAY_REPLY_REDIS_URL', 'WORKER_REPLY_REDIS_URL']),
  };
}

/** @param {Running} running @param {NodeJS.ProcessEnv} env */
function removeContainers({ redis }, env) {
  const [command, ...args] = removalOf(redis);
  if (command !== undefined) spawnSync(command, args, { env, stdio: 'ignore' });
}

/**
 * @template T
 * @param {Promise<T>} work @param {AbortSignal} signal
 * @returns {Promise<T>} the result of `work`; throws the reason of `signal` if it aborts first
 */
async function untilAborted(work, signal) {
  signal.throwIfAborted();
  /** @type {() => void} */
  let abort = () => {};
  const aborted = new Promise((_resolve, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return /** @type {T} */ (await Promise.race([work, aborted]));
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => {});
  }
}
