// @ts-check
import { lastLines, onPath, runToEnd } from '../setup/run-to-end.mjs';
import { Refusal } from '../setup/refusal.mjs';

/**
 * @typedef {{ kind: 'program', path: string } | { kind: 'container', runtime: string }} RedisSource
 * @typedef {object} Machine input of the search
 * @property {NodeJS.ProcessEnv} env
 * @property {boolean} root
 * @property {(line: string) => void} say
 * @property {AbortSignal} [signal]
 */

const SERVERS = ['redis-server', 'valkey-server'];
const RUNTIMES = ['docker', 'podman'];

/** The first installed one is used; `tries` are commands for older and newer systems, `first` refreshes the index. */
const PACKAGE_MANAGERS = [
  { name: 'apt-get', tries: [['install', '-y', '--no-install-recommends', 'redis-server']], first: ['update'] },
  {
    name: 'dnf',
    tries: [
      ['install', '-y', 'valkey'],
      ['install', '-y', 'redis'],
    ],
  },
  { name: 'yum', tries: [['install', '-y', 'redis']] },
  {
    name: 'apk',
    tries: [
      ['add', '--no-cache', 'redis'],
      ['add', '--no-cache', 'valkey'],
    ],
  },
  {
    name: 'zypper',
    tries: [
      ['--non-interactive', 'install', 'redis'],
      ['--non-interactive', 'install', 'valkey'],
    ],
  },
  {
    name: 'pacman',
    tries: [
      ['-Sy', '--noconfirm', 'valkey'],
      ['-Sy', '--noconfirm', 'redis'],
    ],
  },
];

export const HOW_TO_GET_REDIS =
  'no Redis was found: install redis-server or valkey-server (Debian and Ubuntu: sudo apt-get install redis-server; ' +
  'macOS: brew install redis), start Docker or Podman, or name an existing one with --redis redis://host:6379';

/**
 * A server on PATH, else one that the system's package manager installs (only as root; printed), else a container.
 * @param {Machine} machine
 * @returns {Promise<RedisSource>}
 * @throws Refusal that explains how to get one
 */
export async function findRedis(machine) {
  const path = await redisProgram(machine);
  if (path !== undefined) return { kind: 'program', path };
  for (const name of RUNTIMES) {
    const runtime = onPath(name, machine.env);
    if (runtime !== undefined && (await works(runtime, ['info'], machine)).fine) return { kind: 'container', runtime };
  }
  throw new Refusal(HOW_TO_GET_REDIS);
}

/**
 * @param {Machine} machine
 * @returns {Promise<string | undefined>} path of a server on PATH, installed if needed
 */
export async function redisProgram(machine) {
  const found = serverOnPath(machine.env);
  if (found !== undefined || !machine.root) return found;
  const manager = PACKAGE_MANAGERS.find(({ name }) => onPath(name, machine.env) !== undefined);
  if (manager === undefined) return undefined;
  const command = String(onPath(manager.name, machine.env));
  machine.say(`installing Redis with ${manager.name}, because none was found and this user is root …`);
  // a failed update is ignored, because an outdated index may be enough
  if (manager.first !== undefined) await works(command, manager.first, machine);
  let lastWords = '';
  for (const args of manager.tries) {
    const { output } = await works(command, args, machine);
    lastWords = lastLines(output, 1);
    const installed = serverOnPath(machine.env);
    if (installed !== undefined) return installed;
  }
  machine.say(`${manager.name} could not install Redis: ${lastWords}`);
  return undefined;
}

/** @param {NodeJS.ProcessEnv} env */
function serverOnPath(env) {
  return SERVERS.map((name) => onPath(name, env)).find((path) => path !== undefined);
}

/** @param {string} command @param {readonly string[]} args @param {Machine} machine */
async function works(command, args, { env, signal }) {
  const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive' };
  const { code, output } = await runToEnd(command, args, { env: quiet, ...(signal === undefined ? {} : { signal }) });
  return { fine: code === 0, output };
}
