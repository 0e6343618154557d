// @ts-check
import { until } from './processes.mjs';
import { RedisServer } from './redis-server.mjs';
import { startProxy } from './tcp-proxy.mjs';

const IN_STEP_WITHIN_MS = 60_000;

/**
 * A primary Redis and its replica behind one address; ready when the replica follows. `stack`: options of a stack that uses
 * the address. `silence`: the replica gets no more bytes, and neither side is notified. `kill`: `kill -9` of the primary.
 * `promote`: the address leads to the promoted replica. `stop`: stops the primary; the stack stops the replica.
 */
export async function startRedisPair() {
  const primary = await RedisServer.start({ args: ['--repl-diskless-sync-delay', '0'] });
  const link = await startProxy(() => primary.port);
  const replica = await RedisServer.start({ args: ['--replicaof', '127.0.0.1', String(link.port)] });
  let port = primary.port;
  const proxy = await startProxy(() => port);
  const inStep = async () => (await replica.client.info('replication')).includes('master_link_status:up');
  await until('the replica follows', inStep, IN_STEP_WITHIN_MS);
  return {
    stack: { redis: replica, redisUrl: `redis://127.0.0.1:${proxy.port}` },
    silence: () => link.mute(true),
    kill: () => primary.kill(),
    promote: async () => {
      await replica.client.call('REPLICAOF', 'NO', 'ONE');
      port = replica.port;
      proxy.cut();
    },
    stop: async () => {
      await Promise.all([proxy.stop(), link.stop()]);
      await primary.stop();
    },
  };
}
