import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type Cluster } from 'ioredis';
import { freePort } from '#runtime/free-port';
import { eventually } from './eventually.ts';

export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** for the test's own commands on keys; of a cluster it finds their nodes */
  readonly client: Redis | Cluster;
  /** for commands that concern a server; of a cluster it is one node */
  readonly server: Redis;
  /** what a program needs besides the URL, by the end of its setting's name */
  readonly settings: Readonly<Record<string, string>>;
  /** of its command line */
  readonly args: readonly string[];
}

/** What the suites run against, unless a test names it. `npm run redis-kinds` sets it. */
export const TESTED_KIND = process.env['PENSTOCK_TEST_REDIS'] ?? 'single';

interface TestRedisOptions {
  readonly args?: readonly string[];
  readonly appendonly?: boolean;
  readonly kind?: 'single' | 'one-address';
}

/** A separate redis-server for one suite, with the product's required settings; ready when it answers. */
export async function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'penstock-redis-'));
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--maxmemory-policy'];
  const file = ['--appendonly', options.appendonly === false ? 'no' : 'yes'];
  const isCluster = (options.kind ?? TESTED_KIND) === 'one-address';
  const cluster = isCluster ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())] : [];
  const child = spawn('redis-server', [...args, 'noeviction', ...file, ...cluster, ...(options.args ?? [])], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
  client.on('error', () => {});
  const redis: TestRedis = {
    url,
    pid: child.pid ?? 0,
    client,
    server: client,
    settings: {},
    args: options.args ?? [],
    async [Symbol.asyncDispose]() {
      client.disconnect();
      child.kill('SIGKILL');
      await exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
  return orEnd([redis], async () => {
    // For example, another program took the port in between.
    const dead = exited.then(() => Promise.reject(new Error('redis-server ended')));
    dead.catch(() => {});
    await Promise.race([client.ping(), dead]);
    if (!isCluster) return redis;
    await client.cluster('ADDSLOTSRANGE', 0, 16_383);
    await eventually('the cluster of one node serves', async () =>
      String(await client.cluster('INFO')).includes('cluster_state:ok'),
    );
    return redis;
  });
}

/** Ends the servers if this fails with them: a test that has none of them cannot end them. */
export async function orEnd<T>(servers: readonly AsyncDisposable[], run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    for (const server of servers) await server[Symbol.asyncDispose]();
    throw cause;
  }
}

/** Starts several. If one does not start, none stays. */
export async function startAll<T extends AsyncDisposable>(starts: readonly Promise<T>[]): Promise<T[]> {
  const started = await Promise.allSettled(starts);
  const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  return orEnd(servers, () => Promise.all(starts));
}
