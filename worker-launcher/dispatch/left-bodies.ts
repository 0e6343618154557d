import type { JobV1 } from '#contract/job';
import { LEASE_MS, redisKeys } from '#contract/redis-keys';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';

const LOOK_MS = 5_000;
/** A gateway that lives deletes the body in this time after the end of an attempt, or repeats the attempt. In ms. */
const HELD_MS = LEASE_MS + 2 * LOOK_MS;
/** A gateway that only paused needs the body for a repeat, so it stays this long after its lease lapsed, in ms. */
const GONE_MS = 25_000;
/** bodies of one gateway that are remembered; more than end in `HELD_MS` */
const MOST = 50_000;
const DELETED_AT_A_TIME = 1_000;

interface Left {
  /** key of each body, by when its attempt ended, monotonic ms; oldest first */
  readonly bodies: Map<string, number>;
  /** since when no lease is seen, monotonic ms */
  goneAt: number | undefined;
}

/** Bodies of attempts that are over. Their gateway deletes them; those of a gateway that died are deleted here. */
export class LeftBodies {
  readonly #redis: RedisClient;
  readonly #log: Log;
  readonly #left = new Map<string, Left>();

  /** @param redis the second Redis */
  constructor(redis: RedisClient, log: Log) {
    this.#redis = redis;
    this.#log = log;
    this.#lookLater();
  }

  /** An attempt of this job is over. */
  add({ model, requestId, replica }: JobV1): void {
    let left = this.#left.get(replica);
    if (left === undefined) this.#left.set(replica, (left = { bodies: new Map(), goneAt: undefined }));
    const key = redisKeys.body(model, requestId);
    left.bodies.delete(key);
    left.bodies.set(key, performance.now());
    if (left.bodies.size <= MOST) return;
    const [oldest = ''] = left.bodies.keys();
    left.bodies.delete(oldest);
  }

  #lookLater(): void {
    const look = (): Promise<void> => this.#look().catch(() => {});
    setTimeout(() => void look().then(() => this.#lookLater()), LOOK_MS).unref();
  }

  async #look(): Promise<void> {
    for (const [replica, left] of this.#left) {
      const lives = (await this.#redis.exists(redisKeys.replies(replica))) === 1;
      const now = performance.now();
      if (lives) {
        left.goneAt = undefined;
        for (const [key, endedAt] of left.bodies) {
          if (now - endedAt < HELD_MS) break;
          left.bodies.delete(key);
        }
      } else {
        left.goneAt ??= now;
        if (now - left.goneAt >= GONE_MS) await this.#delete(replica, left);
      }
      if (left.bodies.size === 0) this.#left.delete(replica);
    }
  }

  async #delete(replica: string, { bodies }: Left): Promise<void> {
    let deleted = 0;
    while (bodies.size > 0) {
      const keys = [...bodies.keys()].slice(0, DELETED_AT_A_TIME);
      // One command each, because a cluster has those of several models apart.
      const unlinked = await Promise.all(keys.map((key) => this.#redis.unlink(key)));
      deleted += unlinked.reduce((sum, one) => sum + one, 0);
      for (const key of keys) bodies.delete(key);
    }
    if (deleted > 0) this.#log.info({ replica, bodies: deleted }, 'deleted the requests that a dead gateway left');
  }
}
