import { startProxy } from '../drill/tcp-proxy.mjs';
import { eventually } from './eventually.ts';
import { startRedis, type TestRedis } from './redis.ts';

/** A Redis and its replica, behind one address. */
export interface RedisPair extends TestRedis {
  readonly primary: TestRedis;
  readonly replica: TestRedis;
  /** From now on nothing that is written reaches the replica. */
  part(): Promise<void>;
  /** The replica is promoted, the address leads to it, and the former primary follows it. No connection is closed. */
  changeRoles(): Promise<void>;
  /** The primary is killed, and the address leads to its replica, which is promoted. */
  failOver(): Promise<void>;
}

/** Ready when the replica follows. `url` and `client` lead to the primary, later to the promoted replica. */
export async function startRedisPair(): Promise<RedisPair> {
  const primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', new URL(primary.url).port] });
  let current = primary;
  const proxy = await startProxy(() => Number(new URL(current.url).port));
  await eventually('the replica follows', async () =>
    (await replica.client.info('replication')).includes('master_link_status:up'),
  );
  return {
    primary,
    replica,
    url: `redis://127.0.0.1:${proxy.port}`,
    get pid() {
      return current.pid;
    },
    get client() {
      return current.client;
    },
    part: async () => void (await replica.client.replicaof('NO', 'ONE')),
    changeRoles: async () => {
      await replica.client.replicaof('NO', 'ONE');
      await primary.client.replicaof('127.0.0.1', new URL(replica.url).port);
      current = replica;
    },
    failOver: async () => {
      process.kill(primary.pid, 'SIGKILL');
      await replica.client.replicaof('NO', 'ONE');
      current = replica;
      proxy.cut();
    },
    async [Symbol.asyncDispose]() {
      await proxy.stop();
      for (const server of [primary, replica]) await server[Symbol.asyncDispose]();
    },
  };
}
