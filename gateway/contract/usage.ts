import type { JobV1 } from './job.ts';
import { redisKeys } from './redis-keys.ts';

/**
 * What keys have used, in the first Redis: one small hash for each key, model and day (UTC). The dispatcher books each
 * attempt when it ends. The gateway books what no dispatcher can.
 */

/** Fields of the hash. Gateways and tools read zero for an absent one. */
export const USAGE_COUNTS = [
  /** each request once, however many attempts it took */
  'requests',
  /** as the engine counted them, pictures included; the next two are part of the same answers */
  'prompt_tokens',
  'picture_tokens',
  'answer_tokens',
  /** how long attempts held a slot of an engine */
  'slot_ms',
  /** requests that failed before a dispatcher took them */
  'refusals',
  /** events delivered of streams without the engine's count, because the client left or the engine was lost */
  'partial_tokens',
  /** attempts whose answer was dropped and asked for again, and what they had used */
  'repeated_attempts',
  'repeated_prompt_tokens',
  'repeated_tokens',
] as const;
export type UsageCount = (typeof USAGE_COUNTS)[number];

/** The model of a request that was refused before its model was known. */
export const UNKNOWN_MODEL = 'unknown';

const DAY_MS = 86_400_000;
/** The attempt of a request that no dispatcher took. */
export const NO_ATTEMPT = '0-0';
/** A finished request is noted this long, in ms: longer than a command waits to be sent again after a reconnect. */
const NOTED_MS = 120_000;

/** What an attempt used. */
export interface AttemptUsage {
  readonly prompt: number;
  readonly picture: number;
  readonly answer: number;
  readonly partial: number;
  readonly slotMs: number;
}
export const NOTHING_USED: AttemptUsage = { prompt: 0, picture: 0, answer: 0, partial: 0, slotMs: 0 };

/**
 * Books an attempt that ended, or notes that its answer is dropped and asked for again, in either order. Each counts
 * once, however often it is sent. The first note of a request counts the request.
 * KEYS: 1 notes of the request (hash, by attempt), 2 usage of a key, model and day, 3 ids of the keys with usage of that
 * model and day. ARGV: 1 the attempt, 2 life span of the notes in ms, 3 id of the key, 4 life span of the usage in ms.
 * 5 `ended`, `repeated` or `refused`. 6 to 9 prompt, picture, answer and partial tokens, 10 ms of the slot.
 * A note is `repeated` before the attempt has ended, its counts after it has ended, and `moved` after both. A request that
 * failed while it waited is a refusal; if a dispatcher had just taken it, it is a request after all.
 * `is_usage(key)` is for the key in a note, which a worker wrote: it must be that of another day of the same usage.
 */
export const BOOK = `
local noted = redis.call('HGET', KEYS[1], ARGV[1])
local isEnd, isAwaited = ARGV[5] == 'ended', noted == 'repeated'
if noted == 'moved' or (isEnd and noted and not isAwaited) or (not isEnd and isAwaited) then return 0 end
local function add(name, count, key)
  if tonumber(count) ~= 0 then redis.call('HINCRBY', key or KEYS[2], name, count) end
end
local function is_usage(key)
  local at = #KEYS[2] - #ARGV[3] - 11
  return #key == #KEYS[2] and string.sub(key, 1, at) == string.sub(KEYS[2], 1, at) and string.sub(key, at + 11) == string.sub(KEYS[2], at + 11)
end
local isNew = redis.call('EXISTS', KEYS[1]) == 0
if ARGV[5] == 'refused' then
  if not isNew then return 0 end
  add('refusals', 1)
elseif isNew then add('requests', 1)
elseif redis.call('HGET', KEYS[1], '${NO_ATTEMPT}') == 'refused' then
  add('refusals', -1)
  add('requests', 1)
  redis.call('HDEL', KEYS[1], '${NO_ATTEMPT}')
end
local state = 'moved'
if ARGV[5] == 'refused' then state = 'refused'
elseif isEnd then
  add('slot_ms', ARGV[10])
  if isAwaited then
    add('repeated_prompt_tokens', ARGV[6])
    add('repeated_tokens', ARGV[8] + ARGV[9])
  else
    add('prompt_tokens', ARGV[6])
    add('picture_tokens', ARGV[7])
    add('answer_tokens', ARGV[8])
    add('partial_tokens', ARGV[9])
    state = table.concat({ARGV[6], ARGV[7], ARGV[8], ARGV[9], KEYS[2]}, ' ')
  end
else
  add('repeated_attempts', 1)
  if noted then
    local prompt, picture, answer, partial, key = string.match(noted, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
    if not key or not is_usage(key) then return 0 end
    add('prompt_tokens', -prompt, key)
    add('picture_tokens', -picture, key)
    add('answer_tokens', -answer, key)
    add('partial_tokens', -partial, key)
    add('repeated_prompt_tokens', prompt)
    add('repeated_tokens', answer + partial)
  else state = 'repeated' end
end
redis.call('HSET', KEYS[1], ARGV[1], state)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('PTTL', KEYS[2]) < 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  redis.call('SADD', KEYS[3], ARGV[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return 1`;
export const BOOK_KEYS = 3;

/** The job's facts that a booking needs; a job of an older gateway has no `usage` and is not booked. */
export type Booked = Pick<JobV1, 'requestId' | 'model' | 'deadlineMs'> & {
  readonly usage: NonNullable<JobV1['usage']>;
};

/**
 * Keys and arguments of `BOOK`.
 * @param attempt unique within the request, such as `<epoch>-<attempt>`
 * @param mayGoOn further attempts of the request may follow, until its deadline
 */
export function booking(
  { requestId, model, deadlineMs, usage: { keyId, days } }: Booked,
  attempt: string,
  what: 'ended' | 'repeated' | 'refused',
  { prompt, picture, answer, partial, slotMs }: AttemptUsage,
  mayGoOn: boolean,
): (string | number)[] {
  const day = dayOf(Date.now());
  const notedMs = mayGoOn ? deadlineMs + NOTED_MS : NOTED_MS;
  return [
    redisKeys.usageNotes(model, requestId),
    redisKeys.usage(model, day, keyId),
    redisKeys.usageKeys(model, day),
    attempt,
    notedMs,
    keyId,
    usageLifeMs(days),
    what,
    ...[prompt, picture, answer, partial, slotMs].map((count) => Math.max(0, Math.round(count))),
  ];
}

/** @param ms since 1970 @returns the day in UTC, such as `2026-11-30` */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** Life span of a day's usage in ms, from its first booking. */
export function usageLifeMs(days: number): number {
  return (days + 1) * DAY_MS;
}
