// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';
import { freePort } from './ports.mjs';
import { keepRunning } from './processes.mjs';
import { pingRedis } from './redis-ping.mjs';

const IMAGE = 'docker.io/library/redis:7-alpine';
const PING_WITHIN_MS = 5_000;

/**
 * @typedef {object} PrivateRedis
 * @property {string} url
 * @property {import('./processes.mjs').Kept} kept
 * @property {string} removal command that takes a container away whose client was killed; empty without a container
 */

/**
 * Waits until Redis has read its data.
 * @param {string} url
 * @param {AbortSignal} signal
 * @throws Refusal when it cannot be reached or refuses
 */
export async function redisServes(url, signal) {
  while ((await pingRedis(url, PING_WITHIN_MS)) === 'loading') await after(100, undefined, { signal });
}

/**
 * Starts a Redis of our own on a free loopback port, with what BullMQ and the contract ask for: an append-only file and
 * no eviction. Its password keeps other users of the machine away from prompts, and reaches it by standard input.
 * @param {import('./redis-source.mjs').RedisSource} source
 * @param {{ folder: import('./data-folder.mjs').DataFolder, guard: import('./guard.mjs').Guard, env: NodeJS.ProcessEnv,
 *   say: (line: string) => void }} deps
 * @returns {Promise<PrivateRedis>} started; `redisServes` tells when it answers
 */
export async function startPrivateRedis(source, { folder, guard, env, say }) {
  const port = await freePort();
  const password = randomBytes(24).toString('hex');
  const url = `redis://:${password}@127.0.0.1:${port}`;
  const dir = folder.inside('redis');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const inside = source.kind === 'container' ? { port: 6379, bind: '0.0.0.0' } : { port, bind: '127.0.0.1' };
  const settings = [
    `port ${inside.port}`,
    `bind ${inside.bind}`,
    `requirepass ${password}`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    'daemonize no',
  ];
  const container = source.kind === 'container' ? containerOf(source.runtime, dir, port) : undefined;
  if (container !== undefined) {
    const [command, ...args] = container.removal;
    spawnSync(command, args, { env, stdio: 'ignore' });
    guard.tell('container', container.removal.join(' '));
  }
  const kept = keepRunning(
    {
      name: 'redis',
      command: source.kind === 'container' ? source.runtime : source.path,
      args: container?.args ?? ['-'],
      env,
      logFile: folder.inside('redis.log'),
      ipc: false,
      input: `${settings.join('\n')}\n`,
      cwd: dir,
    },
    {
      say,
      pidChanged: (pid) => {
        guard.tell('redis', String(pid ?? ''));
        folder.note('redis', pid, url);
      },
    },
  );
  return { url, kept, removal: container?.removal.join(' ') ?? '' };
}

/**
 * Named by its folder, so that the next start finds what a killed one left.
 * @param {string} runtime path of docker or podman
 * @param {string} dir @param {number} port
 * @returns {{ args: string[], removal: [string, ...string[]] }}
 */
function containerOf(runtime, dir, port) {
  const name = `penstock-redis-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`;
  const podman = runtime.endsWith('podman');
  const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  const publish = ['-p', `127.0.0.1:${port}:6379`, '-v', `${dir}:/data${podman ? ':Z' : ''}`, '-w', '/data'];
  const owner = [...(podman ? ['--userns=keep-id'] : []), '--user', user];
  return {
    args: ['run', '--rm', '-i', '--name', name, ...publish, ...owner, IMAGE, 'redis-server', '-'],
    removal: [runtime, 'rm', '-f', name],
  };
}
