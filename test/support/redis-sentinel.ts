import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#runtime/free-port';
import { eventually } from './eventually.ts';
import { orEnd, startRedis, type TestRedis } from './redis.ts';

const NAME = 'mymaster';

export interface WatchedPair extends TestRedis {
  readonly primary: TestRedis;
  readonly replica: TestRedis;
}

/** A primary and its replica, which a Sentinel with a password promotes. `url` has the name that the Sentinel knows. */
export async function startWatchedPair(): Promise<WatchedPair> {
  const primary = await startRedis({ kind: 'single', args: ['--repl-diskless-sync-delay', '0'] });
  const primaryPort = new URL(primary.url).port;
  const replica = await orEnd([primary], () =>
    startRedis({ kind: 'single', args: ['--replicaof', '127.0.0.1', primaryPort] }),
  );
  const folder = await mkdtemp(join(tmpdir(), 'penstock-sentinel-'));
  const port = await freePort();
  const file = join(folder, 'sentinel.conf');
  const watch = [
    `monitor ${NAME} 127.0.0.1 ${primaryPort} 1`,
    `down-after-milliseconds ${NAME} 700`,
    `failover-timeout ${NAME} 3000`,
  ];
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'requirepass watched'];
  await writeFile(file, [...lines, ...watch.map((line) => `sentinel ${line}`), ''].join('\n'));
  const sentinel = execFile('redis-server', [file, '--sentinel', '--daemonize', 'no']);
  const exited = once(sentinel, 'exit');
  const client = new Redis({ port, password: 'watched', maxRetriesPerRequest: null, retryStrategy: () => 20 });
  client.on('error', () => {});
  const pair: WatchedPair = {
    ...primary,
    primary,
    replica,
    url: `redis://${NAME}/0`,
    settings: { SENTINELS: `127.0.0.1:${port}`, SENTINEL_PASSWORD: 'watched' },
    async [Symbol.asyncDispose]() {
      client.disconnect();
      sentinel.kill('SIGKILL');
      await exited;
      for (const server of [primary, replica]) await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return orEnd([pair], async () => {
    await eventually('the replica follows', async () =>
      (await replica.server.info('replication')).includes('master_link_status:up'),
    );
    await eventually('the Sentinel knows the replica', async () =>
      String(await client.call('SENTINEL', 'REPLICAS', NAME)).includes(new URL(replica.url).port),
    );
    return pair;
  });
}
