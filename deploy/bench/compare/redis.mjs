// @ts-check
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../local/up/ports.mjs';

/** Settings of the queue's Redis, as in deploy/local/redis/redis.mjs. */
export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'everysec'];
/** Settings of the Redis of bodies and replies. */
export const IN_MEMORY = ['--appendonly', 'no', '--maxmemory', '2gb', '--slowlog-log-slower-than', '-1'];

/**
 * Starts a Redis with a folder of its own.
 * @param {import('./peers.mjs').Place} place
 * @param {number} index of its core among the cores of the gateway
 * @param {readonly string[]} args settings of the command line
 */
export async function startRedis({ processes, folder, core }, index, args) {
  const port = await freePort();
  const dir = join(folder, `redis-${index}`);
  await mkdir(dir);
  const all = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir, ...args];
  const pid = processes.start({ name: `redis-${index}`, file: 'redis-server', args: all, cores: core(index) });
  return { pid, url: `redis://127.0.0.1:${port}` };
}
