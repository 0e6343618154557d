import type { Token } from './job.ts';

/**
 * A durable answer outlives its connection and its gateway. Its record (a hash) and its log (a stream) are in the first
 * Redis. A dispatcher writes each frame to the log, and to the reply stream of the gateway that owns the answer now.
 *
 * Log: the id of an entry is `<life>-<number>`. A life is one attempt, or the seam before the attempts of an epoch, which
 * the owner writes. Redis takes no id below the last one, so a former attempt can write nothing more. Numbers of an attempt
 * count by one from 0, so a gap is a loss. Field `b` holds frames end to end (`frame.ts`), with empty request ids. Field `j`
 * of a seam and of the last entry is JSON; their field `a` is the id of the entry before them. A fence, which has no meaning
 * to readers, is before each seam: what the owner decides is about the entries before it.
 *
 * A fail-over of Redis may lose the end of a log, and the count of pickups. So a life has a random part too: an attempt
 * that begins after it cannot go on with the numbers of a lost one.
 *
 * The owner gets the same frames in its reply stream, once they are in the log (`logged-entry.ts`). Gateways without `+` at
 * the end of their names as owners are older. They have a stream for that in the first Redis: field `s` is the dispatcher,
 * each further field is named `<request id>:<id of the log's entry>`. All owners get claims, cancellations and questions there.
 */
export const TAKES_REPLIES = '+';
const LIVES_PER_EPOCH = 2 ** 32;
const LIVES_PER_PICKUP = 2 ** 16;

/** The name of a gateway as an owner. */
export function ownerName(replica: string): string {
  return replica + TAKES_REPLIES;
}

/** The gateway whose reply stream gets what an owner needs. @returns undefined: it is an older one */
export function replicaOf(owner: string): string | undefined {
  return owner.endsWith(TAKES_REPLIES) ? owner.slice(0, -TAKES_REPLIES.length) : undefined;
}

/** The entry that opens a log. */
export const FIRST_ENTRY = '0-1';

/** States of a record; the last four are final. */
export const ANSWER_STATES = ['queued', 'running', 'completed', 'incomplete', 'failed', 'cancelled'] as const;
export type AnswerState = (typeof ANSWER_STATES)[number];

/** Id of the entry that ends a log; no entry can follow it. */
export const LAST_ENTRY = `${Number.MAX_SAFE_INTEGER}-0`;

/** One life of a log. Lives are in the order of their epochs and attempts. */
export interface LogLife extends Token {
  /** 0 to 65,535; a fence has 0, a seam 1 */
  readonly random: number;
}

/** What the ids of a life's entries begin with, before their `-<number>`. */
export function lifeId({ epoch, attempt, random }: LogLife): string {
  return String(epoch * LIVES_PER_EPOCH + attempt * LIVES_PER_PICKUP + random);
}

/** Id of an attempt's entry. @param n its number, from 0 */
export function entryId(life: LogLife, n: number): string {
  return `${lifeId(life)}-${n}`;
}

/** Id of the entry after which no attempt before this epoch can write. */
export function fenceId(epoch: number): string {
  return entryId({ epoch, attempt: 0, random: 0 }, 0);
}

/** Id of the entry that says how an epoch follows the one before. */
export function seamId(epoch: number): string {
  return entryId({ epoch, attempt: 0, random: 1 }, 0);
}

/** An entry's place in its log. `attempt` 0: a fence or a seam. */
export interface LogPlace extends LogLife {
  readonly n: number;
}

/** @returns undefined for the entry that ends the log, and for an id that cannot be read */
export function logPlace(id: string): LogPlace | undefined {
  const [life, n] = id.split('-').map(Number);
  if (id === LAST_ENTRY || !Number.isSafeInteger(life) || !Number.isSafeInteger(n)) return undefined;
  const [of, at] = [life ?? 0, n ?? 0];
  const [epoch, ofEpoch] = [Math.floor(of / LIVES_PER_EPOCH), of % LIVES_PER_EPOCH];
  const attempt = Math.floor(ofEpoch / LIVES_PER_PICKUP);
  return { epoch, attempt, random: ofEpoch % LIVES_PER_PICKUP, n: at };
}

/** @returns below 0 if the first life is before the second in a log, 0 if both are one */
export function compareLives(one: LogLife, other: LogLife): number {
  return one.epoch - other.epoch || one.attempt - other.attempt || one.random - other.random;
}

/**
 * Lua: `place_of(id)` returns epoch, attempt, number and life of an entry; zeros without one. `top_of(log)` is the id of
 * the last entry, and `lacks(log, id)` says whether the log does not have that entry. It never lacks '0-0'.
 */
export const LOG_PLACES = `
local function place_of(id)
  local life, n = string.match(id or '', '^(%d+)-(%d+)$')
  life = tonumber(life or '0')
  return math.floor(life / ${LIVES_PER_EPOCH}), math.floor(life % ${LIVES_PER_EPOCH} / ${LIVES_PER_PICKUP}), tonumber(n or '0'), life
end
local function top_of(log)
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return top and top[1]
end
local function lacks(log, id)
  return id ~= '0-0' and not redis.call('XRANGE', log, id, id)[1]
end
`;
