import { Cluster } from 'ioredis';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';
import { eventually } from './eventually.ts';
import { orEnd, startAll, startRedis, type TestRedis } from './redis.ts';

const SLOTS = 16_384;
const PRIMARIES = 3;
/** A node that is silent for this long is replaced, in ms; on a busy machine a longer time keeps one that is only slow. */
const [REPLACED_MS, KEPT_MS] = [1_000, 10_000];

/** a node in `CLUSTER SLOTS`: address, port, id, more */
const Holder = z.tuple([z.string(), z.number(), z.string()]).rest(z.unknown());

class EveryNode extends Cluster {
  /** Of all primaries; ioredis asks any one of them. */
  override async keys(pattern: string | Buffer): Promise<string[]> {
    return (await Promise.all(this.nodes('master').map((node) => node.keys(String(pattern))))).flat();
  }
}

export interface RedisClusterOfThree extends TestRedis {
  /** three primaries, then their replicas, if there are some */
  readonly nodes: readonly TestRedis[];
  /** The node that has this key. */
  ownerOf(key: string): Promise<TestRedis>;
}

/** A Redis Cluster of three primaries. `url` and `server` are those of the first node. @param withReplicas one each */
export async function startRedisCluster(withReplicas = false): Promise<RedisClusterOfThree> {
  const nodes = await startAll(
    Array.from({ length: withReplicas ? 2 * PRIMARIES : PRIMARIES }, async () =>
      startRedis({
        kind: 'single',
        args: [
          '--cluster-enabled',
          'yes',
          '--cluster-port',
          String(await freePort()),
          '--cluster-node-timeout',
          String(withReplicas ? REPLACED_MS : KEPT_MS),
          '--repl-diskless-sync-delay',
          '0',
        ],
      }),
    ),
  );
  return orEnd(nodes, () => joined(nodes));
}

async function joined(nodes: readonly TestRedis[]): Promise<RedisClusterOfThree> {
  const [first, ...others] = nodes;
  if (first === undefined) throw new Error('no node');
  const share = Math.ceil(SLOTS / PRIMARIES);
  for (const [index, { server }] of nodes.slice(0, PRIMARIES).entries())
    await server.cluster('ADDSLOTSRANGE', index * share, Math.min(SLOTS, (index + 1) * share) - 1);
  for (const { url, args } of others)
    await first.server.cluster(
      'MEET',
      '127.0.0.1',
      Number(new URL(url).port),
      Number(args[args.indexOf('--cluster-port') + 1]),
    );
  const allSay = (text: string): Promise<boolean> =>
    Promise.all(nodes.map(async ({ server }) => String(await server.cluster('INFO')).includes(text))).then((said) =>
      said.every(Boolean),
    );
  await eventually('the nodes know each other', () => allSay(`cluster_known_nodes:${nodes.length}`));
  for (const [index, { server }] of nodes.slice(PRIMARIES).entries()) {
    const primary = await nodes[index]?.server.cluster('MYID');
    await eventually('a replica follows', async () => server.cluster('REPLICATE', String(primary)));
    await eventually('it has all', async () => (await server.info('replication')).includes('master_link_status:up'));
  }
  await eventually('the cluster serves', () => allSay('cluster_state:ok'));
  const places = nodes.map(({ url }) => new URL(url)).map(({ hostname: host, port }) => ({ host, port: Number(port) }));
  const client = new EveryNode(places);
  client.on('error', () => {});
  return {
    ...first,
    client,
    nodes,
    settings: { CLUSTER_NODES: places.map(({ host, port }) => `${host}:${port}`).join(',') },
    ownerOf: async (key) => {
      const slot = Number(await first.server.cluster('KEYSLOT', key));
      const ranges = z
        .array(z.tuple([z.number(), z.number(), Holder]).rest(Holder))
        .parse(await client.cluster('SLOTS'));
      const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
      const owner = nodes.find(({ url }) => Number(new URL(url).port) === port);
      if (owner === undefined) throw new Error(`no node has ${key}`);
      return owner;
    },
    async [Symbol.asyncDispose]() {
      client.disconnect();
      for (const node of nodes) await node[Symbol.asyncDispose]();
    },
  };
}
