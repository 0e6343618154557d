// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as after } from 'node:timers/promises';
import { makeFolder } from '../up/make-folder.mjs';
import { freePort } from '../up/ports.mjs';
import { keepRunning } from '../up/processes.mjs';
import { pingRedis } from './ping.mjs';

const IMAGE = 'docker.io/library/redis:7-alpine';
const PING_WITHIN_MS = 5_000;

/** Bodies and replies are small and short-lived; above this limit new requests get 503, so that the machine keeps memory. */
const REPLY_MEMORY = '2gb';

/**
 * Settings of each of the two. The queue survives a restart. Bodies and replies contain prompts and answers, so they are
 * never in a file, in the slow log or in a crash report, which would quote them.
 * @satisfies {Record<string, { name: string, settings: readonly string[] }>}
 */
const ROLES = {
  queue: { name: 'redis', settings: ['appendonly yes', 'appendfsync everysec'] },
  replies: {
    name: 'reply-redis',
    settings: ['appendonly no', `maxmemory ${REPLY_MEMORY}`, 'slowlog-log-slower-than -1', 'crash-log-enabled no'],
  },
};

/**
 * @typedef {keyof typeof ROLES} RedisRole
 * @typedef {object} PrivateRedis
 * @property {string} name
 * @property {string} url
 * @property {import('../up/processes.mjs').Kept} kept
 * @property {readonly string[]} removal command that removes the container if its client was killed; empty without a container
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
 * Starts our own Redis on a free loopback port, without eviction. Its password protects prompts from other users of the
 * machine; it is passed on standard input.
 * @param {import('./source.mjs').RedisSource} source
 * @param {RedisRole} role
 * @param {{ folder: import('../up/data-folder.mjs').DataFolder, env: NodeJS.ProcessEnv, say: (line: string) => void,
 *   pidChanged: (name: string, pid: number | undefined, url: string) => void }} deps
 * @returns {Promise<PrivateRedis>} started; `redisServes` waits until it answers
 */
export async function startPrivateRedis(source, role, { folder, env, say, pidChanged }) {
  const { name } = ROLES[role];
  const port = await freePort();
  const password = randomBytes(24).toString('hex');
  const url = `redis://:${password}@127.0.0.1:${port}`;
  const dir = folder.inside(name);
  makeFolder(dir);
  const inside = source.kind === 'container' ? { port: 6379, bind: '0.0.0.0' } : { port, bind: '127.0.0.1' };
  const settings = [
    `port ${inside.port}`,
    `bind ${inside.bind}`,
    `requirepass ${password}`,
    'save ""',
    'maxmemory-policy noeviction',
    'daemonize no',
    ...ROLES[role].settings,
  ];
  const container = source.kind === 'container' ? containerOf(source.runtime, name, dir, port) : undefined;
  if (container !== undefined) {
    const [command, ...args] = container.removal;
    spawnSync(command, args, { env, stdio: 'ignore' });
  }
  const kept = keepRunning(
    {
      name,
      command: source.kind === 'container' ? source.runtime : source.path,
      args: container?.args ?? ['-'],
      env,
      logFile: folder.inside(`${name}.log`),
      ipc: false,
      input: `${settings.join('\n')}\n`,
      cwd: dir,
    },
    { say, pidChanged: (pid) => pidChanged(name, pid, url) },
  );
  return { name, url, kept, removal: container?.removal ?? [] };
}

/**
 * The container's name contains a hash of its folder, so that the next start can remove one that a killed start left.
 * @param {string} runtime path of docker or podman
 * @param {string} role name of the Redis
 * @param {string} dir @param {number} port
 * @returns {{ args: string[], removal: [string, ...string[]] }}
 */
function containerOf(runtime, role, dir, port) {
  const name = `penstock-${role}-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`;
  const podman = runtime.endsWith('podman');
  const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  const publish = ['-p', `127.0.0.1:${port}:6379`, '-v', `${dir}:/data${podman ? ':Z' : ''}`, '-w', '/data'];
  const owner = [...(podman ? ['--userns=keep-id'] : []), '--user', user];
  return {
    args: ['run', '--rm', '-i', '--name', name, ...publish, ...owner, IMAGE, 'redis-server', '-'],
    removal: [runtime, 'rm', '-f', name],
  };
}
