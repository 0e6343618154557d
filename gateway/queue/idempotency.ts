import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Command, type Result } from 'ioredis';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { redisKeys } from '#contract/redis-keys';
import { LostConnection, NumberedConnection } from '#runtime/numbered-connection';
import type { RedisClient } from '#runtime/redis-client';

/** Lease of a running request on its idempotency key, in ms; renewed in time, it lapses if its replica dies. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
/**
 * After a fail-over, Redis may have lost what runs under a key. Other gateways have written that again so long after a
 * reconnection, in ms.
 */
const RESTORED_AFTER_MS = 1_500;
/** A client waits this long for another connection, in ms. */
const RECONNECTED_WITHIN_MS = 3_000;
const LOOK_MS = 20;
/** Longer answers are not kept. */
const LIMIT_BYTES = 256 * 1024;

/**
 * KEYS: 1 the record (hash). ARGV: owner, digest of the body, lease in ms, a durable answer whose key is free again. Returns
 * the state, the owner, and the durable answer that runs under the key. Safe to repeat.
 */
const BEGIN = `
local state, digest, owner, durable = unpack(redis.call('HMGET', KEYS[1], 'state', 'digest', 'owner', 'durable'))
if state == 'running' and owner == ARGV[1] then return {'first', owner, ''} end
if state and (ARGV[4] == '' or durable ~= ARGV[4]) then
  if digest ~= ARGV[2] then return {'other_body', owner, durable or ''} end
  return {state, owner, durable or ''}
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'running', 'owner', ARGV[1], 'digest', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'first', ARGV[1], ''}`;

/**
 * KEYS as above. ARGV: owner, new state (empty: remove), expiry in ms, durable answer that runs under the key. Does nothing
 * if another owner holds the key.
 */
const CHANGE = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
if ARGV[4] then redis.call('HSET', KEYS[1], 'durable', ARGV[4]) else redis.call('HDEL', KEYS[1], 'durable') end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

const State = z.enum(['first', 'running', 'answered', 'spent', 'other_body']);
const Said = z.tuple([State, z.string(), z.string()]);
type Said = z.infer<typeof Said>;
declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockOnceBegin(...args: (string | number)[]): Result<Said, Context>;
    penstockOnceChange(...args: (string | number)[]): Result<number, Context>;
  }
}

const Kept = z.object({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() });
/** An answer as the client got it. */
export type KeptAnswer = z.infer<typeof Kept>;

/** A durable answer that runs under a key, or ran. */
export interface DurableRef {
  readonly model: string;
  readonly id: string;
}

type Scope = readonly [callerId: string, route: string, key: string];

/** State of the request under a key. */
export type Begun =
  | { readonly kind: 'durable'; readonly answer: DurableRef }
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
  readonly #records: RedisClient;
  readonly #answers: RedisClient;
  readonly #ttlMs: number;
  readonly #connection: NumberedConnection;

  /** @param records connected already @param ttlMs how long an answer can be requested again */
  constructor(records: RedisClient, answers: RedisClient, ttlMs: number) {
    records.defineCommand('penstockOnceBegin', { numberOfKeys: 1, lua: BEGIN });
    records.defineCommand('penstockOnceChange', { numberOfKeys: 1, lua: CHANGE });
    this.#records = records;
    this.#connection = new NumberedConnection(records);
    this.#answers = answers;
    this.#ttlMs = ttlMs;
  }

  /** The durable answer under a key. @throws Failure `queue_unavailable` */
  async find(scope: Scope): Promise<DurableRef | undefined> {
    const durable = await this.#records.hget(recordOf(scope), 'durable').catch((cause: unknown) => {
      throw new Failure('queue_unavailable', 'Redis does not tell the answer of this key; try again', { cause });
    });
    return durable === null ? undefined : readRef(durable);
  }

  /**
   * @param scope owner of the key, the route, and the key itself
   * @param said further input that decides the answer; if it differs, it is another request
   * @param isFree whether the request may run again that had this durable answer
   * @throws Failure `queue_unavailable`: without Redis no gateway knows whether the request has run
   */
  async begin(
    scope: Scope,
    body: Buffer,
    said: readonly string[],
    isFree: (answer: DurableRef) => Promise<boolean>,
  ): Promise<Begun> {
    const record = recordOf(scope);
    const hash = createHash('sha256').update(body);
    const digest = (said.length === 0 ? hash : hash.update(JSON.stringify(said))).digest('hex');
    const mine = randomUUID();
    try {
      const ask = (free: string) => this.#ask([record, mine, digest, LEASE_MS, free]);
      let [state, owner, durable] = await ask('');
      if (state !== 'first' && durable !== '' && (await isFree(readRef(durable))))
        [state, owner, durable] = await ask(durable);
      if (state === 'running' && durable !== '') return { kind: 'durable', answer: readRef(durable) };
      if (state === 'first')
        return { kind: state, turn: new Turn(this.#records, this.#answers, { record, owner, digest }, this.#ttlMs) };
      if (state !== 'answered') return { kind: state };
      const answer = await this.#answers.get(redisKeys.onceAnswer(owner));
      return answer === null ? { kind: 'spent' } : { kind: state, answer: Kept.parse(JSON.parse(answer)) };
    } catch (cause) {
      const message = 'the gateway cannot check whether a request with this idempotency key has run; try again';
      throw new Failure('queue_unavailable', message, { cause });
    }
  }

  /**
   * Runs `BEGIN`, never before what runs already was written again. So ioredis must not repeat it by itself.
   * @throws Error if Redis is away
   */
  async #ask(args: (string | number)[]): Promise<Said> {
    for (const until = performance.now() + RECONNECTED_WITHIN_MS; ;) {
      const { number, ageMs } = this.#connection;
      if (number === 0) throw new LostConnection();
      const earlyMs = RESTORED_AFTER_MS - ageMs;
      if (earlyMs > 0) await pause(earlyMs);
      const command = new Command('eval', [BEGIN, 1, ...args], { replyEncoding: 'utf8' });
      command.promise.catch(() => {});
      try {
        return Said.parse(await this.#connection.run(number, (redis) => Promise.resolve(redis.sendCommand(command))));
      } catch (cause) {
        if (!(cause instanceof LostConnection)) throw cause;
        command.reject(cause);
        if (performance.now() > until) throw cause;
        while (this.#connection.number === 0 && performance.now() < until) await pause(LOOK_MS);
      }
    }
  }
}

/** Names the record of a request. */
function recordOf(scope: Scope): string {
  return redisKeys.once(createHash('sha256').update(JSON.stringify(scope)).digest('hex'));
}

/** The one request that runs under its key. */
export class Turn {
  readonly #store: (answer: string) => Promise<boolean>;
  readonly #change: (state: string, lifeMs: number, durable?: string) => Promise<boolean>;
  readonly #again: () => Promise<unknown>;
  readonly #ttlMs: number;
  readonly #renewing: NodeJS.Timeout;
  #isOver = false;
  #isDurable = false;

  constructor(
    records: RedisClient,
    answers: RedisClient,
    { record, owner, digest }: { readonly record: string; readonly owner: string; readonly digest: string },
    ttlMs: number,
  ) {
    this.#again = () => records.penstockOnceBegin(record, owner, digest, LEASE_MS, '');
    this.#store = async (answer) =>
      answers.set(redisKeys.onceAnswer(owner), answer, 'PX', ttlMs).then(
        () => true,
        () => false,
      );
    // A record that is not changed expires by itself.
    this.#change = async (state, lifeMs, durable) => {
      const more = durable === undefined ? [] : [durable];
      return (await records.penstockOnceChange(record, owner, state, lifeMs, ...more).catch(() => 0)) === 1;
    };
    this.#ttlMs = ttlMs;
    this.#renewing = setInterval(() => void this.#change('running', LEASE_MS), RENEW_MS).unref();
  }

  /** its answer outlives its connection */
  get isDurable(): boolean {
    return this.#isDurable;
  }

  /**
   * From now on a request with the same key gets this durable answer. Call it again when Redis may have lost that.
   * @param lifeMs how long, in ms
   * @throws Failure `queue_unavailable`
   */
  async point({ model, id }: DurableRef, lifeMs: number): Promise<void> {
    clearInterval(this.#renewing);
    this.#isDurable = true;
    const change = (): Promise<boolean> => this.#change('running', lifeMs, `${id} ${model}`);
    if (await change()) return;
    if (!this.#isOver) await this.#again().catch(() => {});
    if (await change()) return;
    throw new Failure('queue_unavailable', 'the gateway cannot store which answer this idempotency key has; try again');
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

function readRef(durable: string): DurableRef {
  const at = durable.indexOf(' ');
  return { id: durable.slice(0, at), model: durable.slice(at + 1) };
}
