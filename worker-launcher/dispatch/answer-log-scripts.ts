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
 * owners' streams, 7 id of the entry. Returns the number of the attempt's next entry; 0: it must not run; `NOT_YET`.
 */
const CLAIM = `${LOG_PLACES}
local id, epoch, attempt, dispatcher, frames, prefix, entry = unpack(ARGV)
epoch, attempt = tonumber(epoch), tonumber(attempt)
local record = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'owner')
if not record[1] then return ${NOT_YET} end
if (record[1] ~= 'queued' and record[1] ~= 'running') or tonumber(record[2]) > epoch then return 0 end
if tonumber(record[2]) < epoch then return ${NOT_YET} end
local topEpoch, topAttempt, n, topLife = place_of(top_of(KEYS[2]))
local _, _, _, life = place_of(entry)
if topEpoch > epoch then return 0 end
if topLife == life then return n + 1 end
if topEpoch == epoch and topAttempt > 0 and (n > 0 or topAttempt >= attempt) then return 0 end
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', entry, 'b', frames) then return 0 end
redis.call('HSET', KEYS[1], 'state', 'running', 'token', epoch .. '-' .. attempt, 'dispatcher', dispatcher)
redis.call('XADD', prefix .. record[3], 'NOMKSTREAM', '*', 's', dispatcher, id .. ':' .. entry, frames)
return 1`;

/**
 * Writes entries to logs, then all accepted ones to the reply streams of their owners. An entry that is there already, from
 * a command that was sent twice, is accepted. A full Redis refuses the rest; what was written is accepted in the next try.
 * KEYS: record and log of each entry. ARGV: 1 this dispatcher, 2 prefix of the owners' streams, then request id, id of the
 * entry, and frames of each. Returns the numbers of the entries, from 1, whose answer is over or has another attempt.
 */
const WRITE = `${LOG_PLACES}
local refused, owners, byOwner = {}, {}, {}
for i = 1, #KEYS / 2 do
  local at = 3 * i
  local log, id, frames = KEYS[2 * i], ARGV[at + 1], ARGV[at + 2]
  local added = redis.pcall('XADD', log, 'NOMKSTREAM', id, 'b', frames)
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return redis.error_reply(added.err) end
    local _, _, _, life = place_of(id)
    local _, _, _, topLife = place_of(top_of(log))
    added = topLife == life
  end
  if not added then refused[#refused + 1] = i
  else
    local owner = redis.call('HGET', KEYS[2 * i - 1], 'owner') or ''
    local fields = byOwner[owner]
    if not fields then
      fields = {}
      byOwner[owner] = fields
      owners[#owners + 1] = owner
    end
    fields[#fields + 1] = ARGV[at] .. ':' .. id
    fields[#fields + 1] = frames
  end
end
for _, owner in ipairs(owners) do
  redis.call('XADD', ARGV[2] .. owner, 'NOMKSTREAM', '*', 's', ARGV[1], unpack(byOwner[owner]))
end
return refused`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockClaim(...args: (string | number | Buffer)[]): Result<number, Context>;
    penstockLog(keys: number, ...args: (string | Buffer)[]): Result<number[], Context>;
  }
}

/** Makes `penstockClaim` and `penstockLog` commands of this connection. */
export function defineLogScripts(redis: RedisClient): void {
  redis.defineCommand('penstockClaim', { numberOfKeys: 2, lua: CLAIM });
  redis.defineCommand('penstockLog', { lua: WRITE });
}
