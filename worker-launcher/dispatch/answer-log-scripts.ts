import type { Result } from 'ioredis';
import { LOG_PLACES } from '#contract/answer-log';
import type { RedisClient } from '#runtime/redis-client';

/** `penstockClaim`: the record is gone, or its epoch is an earlier one. After a fail-over of Redis its owner writes it again. */
export const NOT_YET = -1;

/**
 * Claims a durable answer for an attempt: writes the first entry of its life. Refused if the answer is over, if a later
 * epoch has begun, or if another attempt of this epoch has delivered anything. An attempt that delivered nothing is
 * superseded by a later pickup: its later entries are refused. Safe to repeat, also to learn what the log has.
 * KEYS: 1 the record, 2 the log. ARGV: 1 request id, 2 epoch, 3 attempt, 4 this dispatcher, 5 frames, 6 prefix of the
 * owners' streams, 7 id of the entry. Returns the number of the attempt's next entry; 0: it must not run; `NOT_YET`. The
 * owner is the second value.
 */
const CLAIM = `${LOG_PLACES}
local id, epoch, attempt, dispatcher, frames, prefix, entry = unpack(ARGV)
epoch, attempt = tonumber(epoch), tonumber(attempt)
local record = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'owner')
if not record[1] then return {${NOT_YET}, ''} end
if (record[1] ~= 'queued' and record[1] ~= 'running') or tonumber(record[2]) > epoch then return {0, ''} end
if tonumber(record[2]) < epoch then return {${NOT_YET}, ''} end
local topEpoch, topAttempt, n, topLife = place_of(top_of(KEYS[2]))
local _, _, _, life = place_of(entry)
if topEpoch > epoch then return {0, ''} end
if topLife == life then return {n + 1, record[3]} end
if topEpoch == epoch and topAttempt > 0 and (n > 0 or topAttempt >= attempt) then return {0, ''} end
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', entry, 'b', frames) then return {0, ''} end
redis.call('HSET', KEYS[1], 'state', 'running', 'token', epoch .. '-' .. attempt, 'dispatcher', dispatcher)
redis.call('XADD', prefix .. record[3], 'NOMKSTREAM', '*', 's', dispatcher, id .. ':' .. entry, frames)
return {1, record[3]}`;

/**
 * Writes entries to logs. An entry that is there already, from a command that was sent twice, is accepted. A full Redis refuses
 * the rest; what was written is accepted in the next try. KEYS: the log of each entry. ARGV: id and frames of each. Returns the
 * numbers of the entries, from 1, whose answer is over or has another attempt.
 */
const WRITE = `${LOG_PLACES}
local refused = {}
for i, log in ipairs(KEYS) do
  local id = ARGV[2 * i - 1]
  local added = redis.pcall('XADD', log, 'NOMKSTREAM', id, 'b', ARGV[2 * i])
  if type(added) == 'table' then
    if not string.find(added.err, 'equal or smaller', 1, true) then return redis.error_reply(added.err) end
    local _, _, _, life = place_of(id)
    local _, _, _, topLife = place_of(top_of(log))
    added = topLife == life
  end
  if not added then refused[#refused + 1] = i end
end
return refused`;

/** KEYS: records. Returns the owner of each; empty: its record is gone. */
const OWNERS = `
local owners = {}
for i, record in ipairs(KEYS) do owners[i] = redis.call('HGET', record, 'owner') or '' end
return owners`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockClaim(...args: (string | number | Buffer)[]): Result<[next: number, owner: string], Context>;
    penstockLog(keys: number, ...args: (string | Buffer)[]): Result<number[], Context>;
    penstockOwners(keys: number, ...args: string[]): Result<string[], Context>;
  }
}

/** Makes `penstockClaim`, `penstockLog` and `penstockOwners` commands of this connection. */
export function defineLogScripts(redis: RedisClient): void {
  redis.defineCommand('penstockClaim', { numberOfKeys: 2, lua: CLAIM });
  redis.defineCommand('penstockLog', { lua: WRITE });
  redis.defineCommand('penstockOwners', { lua: OWNERS });
}
