import { startProxy } from '../drill/tcp-proxy.mjs';
import { eventually } from './eventually.ts';
import { startRedis, type TestRedis } from './redis.ts';

/** A Redis and its replica, behind one address. */
export interface RedisPair extends TestRedis {
  readonly primary: TestRedis;
  readonly replica: TestRedis;
  /** From now on nothing that is written reaches the replica. */
  part(): Promise<void>;
  /** The replica is promoted, and the address leads to it. No connection is closed, and the primary knows nothing of it. */
  promote(): Promise<void>;
  /** The same, but then the former primary follows it. */
  changeRoles(): Promise<void>;
  /** The primary is killed, and the address leads to its replica, which is promoted. */
  failOver(): Promise<void>;
}

/** Ready when the replica follows. `url` and `client` lead to the primary, later to the promoted replica. */
export async function startRedisPair(): Promise<RedisPair> {
  const primary = await startRedis({ kind: 'single', args: ['--repl-diskless-sync-delay', '0'] });
  const replica = await startRedis({ kind: 'single', args: ['--replicaof', '127.0.0.1', new URL(primary.url).port] });
  let current = primary;
  const proxy = await startProxy(() => Number(new URL(current.url).port));
  await eventually('the replica follows', async () =>
    (await replica.server.info('replication')).includes('master_link_status:up'),
  );
  const promote = async (): Promise<void> => {
    await replica.server.replicaof('NO', 'ONE');
    current = replica;
  };
  return {
    primary,
    replica,
    promote,
    settings: {},
    args: [],
    url: `redis://127.0.0.1:${proxy.port}`,
    get pid() {
      return current.pid;
    },
    get client() {
      return current.client;
    },
    get server() {
      return current.server;
    },
    part: async () => void (await replica.server.replicaof('NO', 'ONE')),
    changeRoles: async () => {
      await promote();
      await primary.server.replicaof('127.0.0.1', new URL(replica.url).port);
    },
    failOver: async () => {
      process.kill(primary.pid, 'SIGKILL');
      await promote();
      proxy.cut();
    },
    async [Symbol.asyncDispose]() {
      await proxy.stop();
      for (const server of [primary, replica]) await server[Symbol.asyncDispose]();
    },
  };
}
