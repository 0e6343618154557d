import { FIRST_ENTRY, fenceId, seamId, type AnswerState } from '#contract/answer-log';
import { speaksFor } from '#contract/model-names';
import { redisKeys } from '#contract/redis-keys';
import type { RedisClient } from '#runtime/redis-client';
import { defineAnswerCommands } from './answer-commands.ts';
import { LEAST_BYTES, LogStore, sizeKeys } from './log-store.ts';
import { dueEvent } from '../webhooks/due-event.ts';
import { AnswerRecord, lifeOf, type KeptRequest, type LogEnd, type Seam } from './record.ts';
import { NOT_KEPT, type NotKept, type StoreLimits } from './store-limits.ts';

/** An owner that is silent for longer than this is replaced, in ms. */
const LEASE_MS = 15_000;
/** How many answers one command adopts. */
const ADOPTED_AT_ONCE = 50;
const LISTED_AT_MOST = 5_000;
/** What an answer may need in Redis: its record, and its log while it runs. Measured with events of vLLM. */
const BYTES_PER_TOKEN = 300;
/** A note of readers stays this long, in ms. */
const READERS_LIFE_MS = 3_600_000;

/** A durable answer, and the number of this gateway's ownership of it. */
export interface Owned {
  readonly model: string;
  readonly id: string;
  /** it is another one if this gateway adopts its own answer, after a pause */
  n: number;
}

/** `behind`: the log lacks what its owner took, because Redis failed over; its dispatcher may write it again. */
export type Written = boolean | 'behind';

/** Records and logs of durable answers in the first Redis. Every method throws while Redis is away. */
export class AnswerStore {
  readonly #redis: RedisClient;
  readonly #replica: string;
  readonly logs: LogStore;

  constructor(redis: RedisClient, replica: string) {
    defineAnswerCommands(redis);
    this.#redis = redis;
    this.#replica = replica;
    this.logs = new LogStore(redis);
  }

  /** @param leftMs until its deadline @returns the limit that it is above, if it is above one */
  async create(id: string, asked: KeptRequest, limits: StoreLimits, leftMs?: number): Promise<Owned | NotKept> {
    const { model, keyId, longestAnswer, inputBytes = 0 } = asked;
    const lifeMs = lifeOf(asked, leftMs);
    const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id), redisKeys.openAnswers(model)];
    const bytes = LEAST_BYTES + inputBytes + longestAnswer * BYTES_PER_TOKEN;
    const written = JSON.stringify(asked);
    const args = [
      id,
      keyId,
      this.#replica,
      written,
      LEASE_MS,
      lifeMs,
      limits.open,
      bytes,
      limits.bytes,
      limits.keyBytes,
      isShown(asked),
    ];
    const created = await this.#redis.penstockAnswerCreate(...keys, ...sizeKeys(model), ...args);
    return created === 1 ? { model, id, n: 1 } : (NOT_KEPT.get(created) ?? 'open');
  }

  /** Writes what Redis lost of an answer when it failed over. @returns whether this gateway owns it, and it is not over */
  async restore({ model, id, n }: Owned, asked: KeptRequest, leftMs?: number): Promise<boolean> {
    const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id), redisKeys.openAnswers(model)];
    const [written, lifeMs] = [JSON.stringify(asked), lifeOf(asked, leftMs)];
    const args = [id, asked.keyId, this.#replica, written, LEASE_MS, lifeMs, isShown(asked), n];
    return (await this.#redis.penstockAnswerRestore(...keys, ...args)) === 1;
  }

  /** @returns undefined if there is none, it is another key's, or a worker wrote one of another model */
  async read(model: string, id: string, keyId?: string): Promise<AnswerRecord | undefined> {
    const fields = await this.#redis.hgetall(redisKeys.answer(model, id));
    const record = AnswerRecord.safeParse(fields).data;
    const isOurs = record?.asked.model === model && (keyId === undefined || record.key === keyId);
    return isOurs ? record : undefined;
  }

  /** The answers of a model that are kept, some thousands at most. */
  async list(model: string): Promise<{ readonly id: string; readonly record: AnswerRecord }[]> {
    const ids = await this.#redis.zrange(redisKeys.keptLapses(model), String(-LISTED_AT_MOST), '-1');
    const records = await Promise.all(ids.map((id) => this.read(model, id)));
    return ids.flatMap((id, index) => {
      const record = records[index];
      return record === undefined ? [] : [{ id, record }];
    });
  }

  /** The time in ms that is left until the deadline of an answer that is not over: its record lapses with it. */
  async leftMs(model: string, id: string, asked: KeptRequest): Promise<number> {
    return (await this.#redis.pttl(redisKeys.answer(model, id))) - lifeOf(asked, 0);
  }

  /** The engine's request is in Redis. */
  async hasBody(model: string, id: string): Promise<boolean> {
    return (await this.#redis.exists(redisKeys.body(model, id))) === 1;
  }

  /**
   * From now on the attempts before this epoch write nothing.
   * @param last entry that this gateway took of the log
   * @returns false: the answer is another's or over
   */
  async fence({ model, id, n }: Owned, epoch: number, last: string): Promise<Written> {
    const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id)];
    return asWritten(await this.#redis.penstockAnswerFence(...keys, this.#ownership(n), epoch, fenceId(epoch), last));
  }

  /**
   * @param last entry that this gateway took of the log
   * @returns false: the answer is another's or over, or a reader has what begins again, or more than this gateway
   */
  async seam({ model, id, n }: Owned, epoch: number, seam: Seam, last = FIRST_ENTRY): Promise<Written> {
    const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id)];
    const isRestart = seam.kind === 'restart' ? 1 : 0;
    const said = JSON.stringify(seam);
    const args = [this.#ownership(n), epoch, seamId(epoch), said, isRestart, last, fenceId(epoch)];
    return asWritten(await this.#redis.penstockAnswerSeam(...keys, ...args));
  }

  /** A reader gets the answer from now on: it cannot begin again. Call it before the log is read. */
  async show(model: string, id: string): Promise<void> {
    await this.#redis.hset(redisKeys.answer(model, id), 'shown', '1');
  }

  /** This gateway has readers of an answer. @param forMs how long that is true from now on, in ms */
  async noteReader(model: string, id: string, forMs: number): Promise<void> {
    await this.#redis.penstockAnswerRead(redisKeys.answerReaders(model, id), this.#replica, forMs, READERS_LIFE_MS);
  }

  /** The time in ms until an answer has no reader at any gateway, below 0 after that. @returns undefined: it had none */
  async heardForMs(model: string, id: string): Promise<number | undefined> {
    return (await this.#redis.penstockAnswerHeard(redisKeys.answerReaders(model, id))) ?? undefined;
  }

  /**
   * @param answer the complete response as JSON
   * @param isTold its caller knows its id
   * @param last an entry without which the log is not complete
   * @returns false: the answer is another's, or was over
   */
  async finish(
    { id, n }: Owned,
    end: LogEnd,
    answer: string,
    asked: KeptRequest,
    { isTold, last = '0-0' }: { readonly isTold: boolean; readonly last?: string },
  ): Promise<Written> {
    const event = isTold ? eventOf(id, asked, end) : '';
    const args = [id, this.#ownership(n), end.state, JSON.stringify(end), answer, asked.keptMs, event, last];
    return asWritten(await this.#redis.penstockAnswerFinish(...endKeys(asked.model, id), ...args));
  }

  /**
   * Cancels an answer, also one of another gateway, and tells its dispatcher.
   * @param answer the complete response as JSON
   * @returns its state before; empty: it is gone
   */
  async cancel(id: string, asked: KeptRequest, answer: string): Promise<AnswerState | ''> {
    const { model, keptMs } = asked;
    const end: LogEnd = { state: 'cancelled' };
    const event = eventOf(id, asked, end);
    const args = [id, JSON.stringify(end), answer, keptMs, redisKeys.ownersPrefix(model), event];
    const [before, dispatcher, token] = await this.#redis.penstockAnswerCancel(...endKeys(model, id), ...args);
    const epoch = Number.parseInt(token, 10);
    if (dispatcher !== '' && epoch > 0 && speaksFor(dispatcher, model)) {
      const message = JSON.stringify({ type: 'cancel', requestId: id, epoch });
      await this.#redis.publish(redisKeys.control(dispatcher), message);
    }
    // It stays as it is if this fails, and needs more memory.
    if (before === 'queued' || before === 'running')
      await this.logs.archive({ model, id }, asked, answer).catch(() => {});
    return before;
  }

  /** Stops the attempt that has an owned answer. Does nothing if the answer is another's. */
  async stop({ model, id, n }: Owned, dispatcher: string, message: string): Promise<void> {
    if (!speaksFor(dispatcher, model)) return;
    const args = [this.#ownership(n), redisKeys.control(dispatcher), message];
    await this.#redis.penstockAnswerStop(redisKeys.answer(model, id), ...args);
  }

  /** Removes an answer that never began, or that its caller deletes. */
  async remove(model: string, id: string): Promise<void> {
    await this.#redis.zrem(redisKeys.openAnswers(model), id);
    const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id), redisKeys.answerArchive(model, id)];
    await this.#redis.del(
      ...keys,
      ...[redisKeys.body, redisKeys.answerInput, redisKeys.answerSaid].map((key) => key(model, id)),
    );
    await this.#redis.penstockAnswerSize(...sizeKeys(model), id, '', '', 0);
  }

  /** The number of this gateway's ownership, as Redis has it. @returns undefined: it is another's */
  async ownNumber({ model, id }: Owned): Promise<number | undefined> {
    const [owner, n] = await this.#redis.hmget(redisKeys.answer(model, id), 'owner', 'n');
    return owner === this.#replica ? Number(n) : undefined;
  }

  /** Renews the leases of a model's answers. @returns the ids of those that are another's, or over */
  renew(model: string, owned: readonly Owned[]): Promise<string[]> {
    return this.#leases(model, owned, LEASE_MS);
  }

  /** Gives a model's answers up; another gateway adopts them in a moment. */
  async giveUp(model: string, owned: readonly Owned[]): Promise<void> {
    await this.#leases(model, owned, 0);
  }

  /** Asks the owner of an answer whether it is there. If it does not renew its lease within this time, in ms, that lapses. */
  async question(model: string, id: string, answerMs: number): Promise<boolean> {
    const keys = [redisKeys.answer(model, id), redisKeys.openAnswers(model)];
    return (await this.#redis.penstockAnswerQuestion(...keys, id, answerMs, redisKeys.ownersPrefix(model))) === 1;
  }

  /** Takes answers whose owner is gone. @param isUnsure takes none, but tells all that this gateway owns */
  async adopt(model: string, isUnsure: boolean): Promise<Owned[]> {
    const args = [redisKeys.answer(model, ''), this.#replica, LEASE_MS, ADOPTED_AT_ONCE, isUnsure ? 1 : 0];
    const found = await this.#redis.penstockAnswerAdopt(redisKeys.openAnswers(model), ...args);
    const adopted: Owned[] = [];
    for (let at = 0; at < found.length; at += 2)
      adopted.push({ model, id: String(found[at]), n: Number(found[at + 1]) });
    return adopted;
  }

  #leases(model: string, owned: readonly Owned[], leaseMs: number): Promise<string[]> {
    const members = owned.flatMap(({ id, n }) => [id, this.#ownership(n)]);
    return this.#redis.penstockAnswerRenew(
      redisKeys.openAnswers(model),
      redisKeys.answer(model, ''),
      leaseMs,
      ...members,
    );
  }

  #ownership(n: number): string {
    return `${n} ${this.#replica}`;
  }
}

/** A client of a POST gets each event as it comes. */
function isShown({ post }: KeptRequest): 0 | 1 {
  return post === undefined ? 0 : 1;
}

function asWritten(reply: number): Written {
  return reply < 0 ? 'behind' : reply === 1;
}

function endKeys(model: string, id: string): string[] {
  const keys = [redisKeys.answer(model, id), redisKeys.answerLog(model, id)];
  return [...keys, redisKeys.openAnswers(model), redisKeys.body(model, id), redisKeys.webhooksDue(model)];
}

/** The webhook event of an end; empty: none. */
function eventOf(answer: string, { webhook, keyId }: KeptRequest, { state }: LogEnd): string {
  return webhook === true ? dueEvent({ answer, state, keyId }) : '';
}
