import { createHash, randomUUID } from 'node:crypto';
import type { Redis, Result } from 'ioredis';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { redisKeys } from '#contract/redis-keys';

/** Lease of a running request on its idempotency key, in ms; renewed in time, it lapses if its replica dies. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
/** Longer answers are not kept. */
const LIMIT_BYTES = 256 * 1024;

/** KEYS: 1 the record (hash). ARGV: owner, digest of the body, lease in ms. Returns the state and the owner. */
const BEGIN = `
local state, digest, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'digest', 'owner'))
if state then
  if digest ~= ARGV[2] then return {'other_body', owner} end
  return {state, owner}
end
redis.call('HSET', KEYS[1], 'state', 'running', 'owner', ARGV[1], 'digest', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'first', ARGV[1]}`;

/** KEYS as above. ARGV: owner, new state (empty: remove), expiry in ms. Does nothing if another owner holds the key. */
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
/** An answer as the client got it. */
export type KeptAnswer = z.infer<typeof Kept>;

/** State of the request under a key. */
export type Begun =
  | { readonly kind: 'first'; readonly turn: Turn }
  | { readonly kind: 'answered'; readonly answer: KeptAnswer }
  | { readonly kind: 'running' | 'spent' | 'other_body' };

/**
 * Requests with an idempotency key run once, on whichever replica they arrive. Redis knows the key only as a hash, but
 * stores the answer in clear text until it expires. The record that a request ran is stored with the queue, which
 * survives a restart. Its answer is stored with the replies, which do not. After such a loss the request counts as
 * spent and does not run twice.
 */
export class Idempotency {
  readonly #records: Redis;
  readonly #answers: Redis;
  readonly #ttlMs: number;

  /** @param ttlMs how long an answer can be requested again */
  constructor(records: Redis, answers: Redis, ttlMs: number) {
    records.defineCommand('penstockOnceBegin', { numberOfKeys: 1, lua: BEGIN });
    records.defineCommand('penstockOnceChange', { numberOfKeys: 1, lua: CHANGE });
    this.#records = records;
    this.#answers = answers;
    this.#ttlMs = ttlMs;
  }

  /**
   * @param scope owner of the key, the route, and the key itself
   * @param said further input that decides the answer; if it differs, it is another request
   * @throws Failure `queue_unavailable`: without Redis no gateway knows whether the request has run
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
      const message = 'the gateway cannot check whether a request with this idempotency key has run; try again';
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
    // A record that is not changed expires by itself.
    this.#change = async (...change) =>
      void (await records.penstockOnceChange(record, owner, ...change).catch(() => 0));
    this.#ttlMs = ttlMs;
    this.#renewing = setInterval(() => void this.#change('running', LEASE_MS), RENEW_MS).unref();
  }

  /** Keeps the answer for later requests with the same key. Of an answer that is too long, only the fact is kept. */
  async keep(answer: KeptAnswer): Promise<void> {
    if (!this.#ends()) return;
    const isKept = Buffer.byteLength(answer.body) <= LIMIT_BYTES && (await this.#store(JSON.stringify(answer)));
    await this.#change(isKept ? 'answered' : 'spent', this.#ttlMs);
  }

  /** The request was answered in a way that cannot be repeated. */
  async spend(): Promise<void> {
    if (this.#ends()) await this.#change('spent', this.#ttlMs);
  }

  /** The request did not run, or no client has its answer: it may be sent again. */
  async release(): Promise<void> {
    if (this.#ends()) await this.#change('', 0);
  }

  /** @returns whether this is the first end, the only one that counts */
  #ends(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearInterval(this.#renewing);
    return true;
  }
}
