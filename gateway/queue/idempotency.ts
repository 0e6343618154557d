import { createHash, randomUUID } from 'node:crypto';
import type { Redis, Result } from 'ioredis';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { redisKeys } from '#contract/redis-keys';

/** A running request holds its key this long, and renews it in time: a replica that died gives it back. In milliseconds. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
/** Longer answers are not kept. */
const LIMIT_BYTES = 256 * 1024;

/** KEYS: 1 the record (hash). ARGV: owner, digest of the body, lease in ms. Returns the state, and whose request it is. */
const BEGIN = `
local state, digest, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'digest', 'owner'))
if state then
  if digest ~= ARGV[2] then return {'other_body', owner} end
  return {state, owner}
end
redis.call('HSET', KEYS[1], 'state', 'running', 'owner', ARGV[1], 'digest', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'first', ARGV[1]}`;

/** KEYS as above. ARGV: owner, new state (empty: forget), life in ms. Does nothing once another holds the key. */
const CHANGE = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

type State = 'first' | 'running' | 'answered' | 'spent' | 'other_body';
declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockOnceBegin(key: string, owner: string, digest: string, lifeMs: number): Result<[State, string], Context>;
    penstockOnceChange(key: string, owner: string, state: string, lifeMs: number): Result<number, Context>;
  }
}

const Kept = z.object({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() });
/** An answer as it was given. */
export type KeptAnswer = z.infer<typeof Kept>;

/** How a request under a key stands. */
export type Begun =
  | { readonly kind: 'first'; readonly turn: Turn }
  | { readonly kind: 'answered'; readonly answer: KeptAnswer }
  | { readonly kind: 'running' | 'spent' | 'other_body' };

/**
 * Requests that carry an idempotency key run once, whichever replica they reach. The key is known as a hash only; an
 * answer rests in Redis, in clear, for as long as it can be asked for again. That a request ran stands with the queue, which
 * is kept over a restart; its answer with the replies, which are not: then the request is spent, and does not run twice.
 */
export class Idempotency {
  readonly #records: Redis;
  readonly #answers: Redis;
  readonly #ttlMs: number;

  /** @param ttlMs how long an answer can be asked for again */
  constructor(records: Redis, answers: Redis, ttlMs: number) {
    records.defineCommand('penstockOnceBegin', { numberOfKeys: 1, lua: BEGIN });
    records.defineCommand('penstockOnceChange', { numberOfKeys: 1, lua: CHANGE });
    this.#records = records;
    this.#answers = answers;
    this.#ttlMs = ttlMs;
  }

  /**
   * @param scope whose key it is, on which route, and the key itself
   * @param said what else decides the answer: with other words of these it is another request
   * @throws Failure `queue_unavailable`: without Redis nobody knows whether it has run
   */
  async begin(
    scope: readonly [callerId: string, route: string, key: string],
    body: Buffer,
    said: readonly string[] = [],
  ): Promise<Begun> {
    const record = redisKeys.once(createHash('sha256').update(JSON.stringify(scope)).digest('hex'));
    const hash = createHash('sha256').update(body);
    const digest = (said.length === 0 ? hash : hash.update(JSON.stringify(said))).digest('hex');
    const mine = randomUUID();
    try {
      const [state, owner] = await this.#records.penstockOnceBegin(record, mine, digest, LEASE_MS);
      if (state === 'first')
        return { kind: state, turn: new Turn(this.#records, this.#answers, record, owner, this.#ttlMs) };
      if (state !== 'answered') return { kind: state };
      const answer = await this.#answers.get(redisKeys.onceAnswer(owner));
      return answer === null ? { kind: 'spent' } : { kind: state, answer: Kept.parse(JSON.parse(answer)) };
    } catch (cause) {
      const message = 'it cannot be told just now whether this request has run; try again';
      throw new Failure('queue_unavailable', message, { cause });
    }
  }
}

/** The one request that runs under its key. */
export class Turn {
  readonly #store: (answer: string) => Promise<boolean>;
  readonly #change: (state: string, lifeMs: number) => Promise<void>;
  readonly #ttlMs: number;
  readonly #renewing: NodeJS.Timeout;
  #isOver = false;

  constructor(records: Redis, answers: Redis, record: string, owner: string, ttlMs: number) {
    this.#store = async (answer) =>
      answers.set(redisKeys.onceAnswer(owner), answer, 'PX', ttlMs).then(
        () => true,
        () => false,
      );
    // What is not written lapses by itself.
    this.#change = async (...change) =>
      void (await records.penstockOnceChange(record, owner, ...change).catch(() => 0));
    this.#ttlMs = ttlMs;
    this.#renewing = setInterval(() => void this.#change('running', LEASE_MS), RENEW_MS).unref();
  }

  /** Its answer is given again to who asks again; a longer one is only known to have been given. */
  async keep(answer: KeptAnswer): Promise<void> {
    if (!this.#ends()) return;
    const isKept = Buffer.byteLength(answer.body) <= LIMIT_BYTES && (await this.#store(JSON.stringify(answer)));
    await this.#change(isKept ? 'answered' : 'spent', this.#ttlMs);
  }

  /** It was answered in a way that cannot be repeated. */
  async spend(): Promise<void> {
    if (this.#ends()) await this.#change('spent', this.#ttlMs);
  }

  /** It did not run, or nobody has its answer: it may be sent again. */
  async release(): Promise<void> {
    if (this.#ends()) await this.#change('', 0);
  }

  /** The first end counts. */
  #ends(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearInterval(this.#renewing);
    return true;
  }
}
