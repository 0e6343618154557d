import { Cluster, type ClusterOptions, type Redis } from 'ioredis';
import { sendInTurns } from './redis-sending.ts';

/** How often a cluster that lacks a node is looked at, in ms. */
const LOOK_MS = 100;
/** Interval of pings, in ms: only a command shows a loss without a reset. */
const PING_MS = 1_000;

/**
 * The connections to the nodes of a Redis Cluster. ioredis follows its slots, and opens a node's connection with its first
 * command. Here all primaries are connected, so that the loss of one is seen. Two more events: `whole`, once all of them serve;
 * `lost`, when one closes its connection or gives its place to another.
 */
export class RedisCluster extends Cluster {
  /** the address that it is known by */
  readonly place: { readonly host: string; readonly port: number };
  #isWhole = false;
  #primaries = '';
  #isLooking = false;
  readonly #timers: NodeJS.Timeout[];

  /** @param nodes that are asked for all others; the first one gives the cluster its name */
  constructor(
    nodes: readonly { readonly host: string; readonly port: number }[],
    options: ClusterOptions & {
      readonly redisOptions: NonNullable<ClusterOptions['redisOptions']> & { readonly replyMapping: 'legacy' };
    },
  ) {
    super([...nodes], options);
    this.place = nodes[0] ?? { host: 'localhost', port: 6379 };
    this.on('+node', (node: Redis) => {
      sendInTurns(node);
      node.on('close', () => {
        if (node.options.readOnly !== true) this.#lose();
      });
    });
    this.on('close', () => this.#lose());
    this.on('refresh', () => {
      if (this.#isWhole && this.#names() !== this.#primaries) this.#lose();
    });
    this.#timers = [
      setInterval(() => void this.#look().catch(() => {}), LOOK_MS).unref(),
      setInterval(() => this.#ping(), PING_MS).unref(),
    ];
    this.on('end', () => {
      for (const timer of this.#timers) clearInterval(timer);
    });
  }

  /** All primaries are connected, and serve all slots. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  #names(): string {
    return this.nodes('master')
      .map(({ options: { host, port } }) => `${host}:${port}`)
      .toSorted()
      .join();
  }

  #lose(): void {
    if (!this.#isWhole) return;
    this.#isWhole = false;
    this.emit('lost');
  }

  async #look(): Promise<void> {
    if (this.#isWhole || this.#isLooking || this.status !== 'ready') return;
    this.#isLooking = true;
    try {
      await new Promise<void>((resolve, reject) =>
        this.refreshSlotsCache((error) => (error ? reject(error) : resolve())),
      );
      const primaries = this.nodes('master');
      await Promise.all(primaries.filter(({ status }) => status === 'wait').map((node) => node.connect()));
      const pages = await Promise.all(primaries.map((node) => node.cluster('INFO')));
      const serve = primaries.every(({ status }) => status === 'ready') && pages.every(servesAll);
      if (!serve || primaries.length === 0) return;
      this.#primaries = this.#names();
      this.#isWhole = true;
      this.emit('whole');
    } finally {
      this.#isLooking = false;
    }
  }

  #ping(): void {
    for (const node of this.nodes('master')) if (node.status === 'ready') node.ping().catch(() => {});
  }
}

/** Source: redis.io/docs/latest/commands/cluster-info */
function servesAll(page: unknown): boolean {
  return /^cluster_state:ok/m.test(String(page)) && /^cluster_slots_ok:16384\r?$/m.test(String(page));
}
