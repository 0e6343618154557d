import { LAST_ENTRY, LOG_PLACES, TAKES_REPLIES } from '#contract/answer-log';

/** In an owner's stream, in the place of an entry's id: a reader asks whether the owner is there. */
export const QUESTION_MARK = '?';

/**
 * Scripts on the records and logs of durable answers (`contract/answer-log.ts`). Each write of an owner carries its
 * ownership, `<number> <owner>`; an adoption raises the number, so a former owner changes nothing more. All keys of one model are in one
 * slot of a Redis Cluster.
 * Fields of a record: see `record.ts`.
 */

/**
 * Lua: `isOpen(state)`; `mine(record, ownership)`: the caller of the script still owns an answer that is not over. A number
 * alone can belong to two gateways after a fail-over of Redis.
 */
export const OWNED = `
local function isOpen(state) return state == 'queued' or state == 'running' end
local function mine(record, ownership)
  local found = redis.call('HMGET', record, 'n', 'owner', 'state')
  return found[1] and found[1] .. ' ' .. found[2] == ownership and isOpen(found[3])
end
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
`;

/** Lua: `due(events, event)`: an end is a webhook event too, unless `event` is empty. */
const DUE = `
local function due(events, event)
  if event ~= '' then redis.call('ZADD', events, now(), event) end
end
`;

/**
 * Lua: `count(id, bytes, key, lifeMs)` counts what an answer keeps in Redis, in place of what it counted before; without
 * `bytes`, nothing. Fields of the hash: `<id>` is `<bytes> <key id>`, `*` the sum of all, `* <key id>` the sum of a key. A
 * sorted set has the ids by lapse time.
 */
export const COUNT = `
local function count(lapses, sizes, id, bytes, key, lifeMs)
  local before, of = string.match(redis.call('HGET', sizes, id) or '', '^(%d+) (.*)$')
  local function add(field, by)
    if redis.call('HINCRBY', sizes, field, by) <= 0 then redis.call('HDEL', sizes, field) end
  end
  if before then
    redis.call('HDEL', sizes, id)
    redis.call('ZREM', lapses, id)
    add('*', -before)
    add('* ' .. of, -before)
  end
  if not bytes then return end
  redis.call('HSET', sizes, id, bytes .. ' ' .. key)
  redis.call('ZADD', lapses, now() + lifeMs, id)
  add('*', bytes)
  add('* ' .. key, bytes)
  for _, one in ipairs({lapses, sizes}) do
    if redis.call('PTTL', one) < tonumber(lifeMs) then redis.call('PEXPIRE', one, lifeMs) end
  end
end
`;

/** Lua: `begin(record, log, key, owner, n, asked, isShown, lifeMs)` writes a new record, and opens its log. */
const BEGIN = `
local function begin(record, log, key, owner, n, asked, isShown, lifeMs)
  redis.call('HSET', record, 'key', key, 'state', 'queued', 'owner', owner, 'n', n, 'epoch', 1, 'asked', asked)
  if isShown == '1' then redis.call('HSET', record, 'shown', '1') end
  redis.call('XADD', log, '0-1', 'j', '{}')
  redis.call('PEXPIRE', record, lifeMs)
  redis.call('PEXPIRE', log, lifeMs)
end
`;

/**
 * Creates an answer. KEYS: 1 the record, 2 the log, 3 the open answers of the model (sorted set by the end of the owner's
 * lease), 4 and 5 see `COUNT`. ARGV: 1 id, 2 id of the caller's key, 3 owner, 4 `asked`, 5 lease in ms, 6 life span in ms, 7
 * how many may be open. 8 bytes that it may need, 9 limit for all, 10 limit for one key, 11 `1`: a reader has it from now on. Returns 1. 0: too many are open; -1
 * and -2: all answers, or those of the key, keep too much. Safe to repeat.
 */
export const CREATE = `${OWNED}${COUNT}${BEGIN}
if redis.call('HGET', KEYS[1], 'owner') == ARGV[3] then return 1 end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[7]) then return 0 end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now(), 'LIMIT', 0, 100)) do count(KEYS[4], KEYS[5], id) end
local bytes = tonumber(ARGV[8])
local sums = redis.call('HMGET', KEYS[5], '*', '* ' .. ARGV[2])
if tonumber(sums[1] or '0') + bytes > tonumber(ARGV[9]) then return -1 end
if tonumber(sums[2] or '0') + bytes > tonumber(ARGV[10]) then return -2 end
count(KEYS[4], KEYS[5], ARGV[1], bytes, ARGV[2], ARGV[6])
begin(KEYS[1], KEYS[2], ARGV[2], ARGV[3], 1, ARGV[4], ARGV[11], ARGV[6])
redis.call('ZADD', KEYS[3], now() + ARGV[5], ARGV[1])
return 1`;

/**
 * Writes what Redis lost of an owned answer when it failed over: the record, or who owns it. KEYS: 1 the record, 2 the log, 3
 * the open answers. ARGV: 1 id, 2 id of the caller's key, 3 owner, 4 `asked`, 5 lease in ms, 6 life span in ms. 7 `1`: a reader
 * has it, 8 number of the ownership. Returns 0 if the answer is another's or over.
 */
export const RESTORE = `${OWNED}${BEGIN}
local state, owner, n = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'n'))
if not state then begin(KEYS[1], KEYS[2], ARGV[2], ARGV[3], ARGV[8], ARGV[4], ARGV[7], ARGV[6])
else
  local ahead = tonumber(n) - ARGV[8]
  if not isOpen(state) or ahead > 0 or (ahead == 0 and owner ~= ARGV[3]) then return 0 end
  redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'n', ARGV[8])
end
redis.call('ZADD', KEYS[3], now() + ARGV[5], ARGV[1])
return 1`;

/** Lua: `fenced(log, fence)` writes a fence, unless it is there. Returns the id of the entry before it; nil without a log. */
const FENCED = `
local function fenced(log, fence)
  local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not top or top[1] == fence then return top and top[2][4] end
  redis.call('XADD', log, fence, 'j', '{}', 'a', top[1])
  return top[1]
end
`;

/**
 * From now on the attempts before an epoch write nothing. Safe to repeat. KEYS: 1 the record, 2 the log. ARGV: 1 the
 * ownership, 2 the epoch, 3 id of its fence, 4 the last entry that the owner took. Returns 0 if the answer is another's or
 * over; -1 if the log lacks what its owner took.
 */
export const FENCE = `${OWNED}${LOG_PLACES}${FENCED}
if not mine(KEYS[1], ARGV[1]) then return 0 end
if tonumber(redis.call('HGET', KEYS[1], 'epoch')) >= tonumber(ARGV[2]) then return 1 end
if lacks(KEYS[2], ARGV[4]) then return -1 end
return fenced(KEYS[2], ARGV[3]) and 1 or 0`;

/**
 * Writes how an epoch follows the one before, after a fence. Safe to repeat. KEYS: 1 the record,
 * 2 the log. ARGV: 1 the ownership, 2 the epoch, 3 id of the seam, 4 JSON, 5 `1`: the answer begins again, which
 * no reader may notice. 6 the last entry that the owner took, 7 id of the fence. Returns 0 if the answer is another's or over,
 * or if a reader would notice, or has entries that the owner did not take. Returns -1 if the log lacks what its owner took.
 */
export const SEAM = `${OWNED}${LOG_PLACES}${FENCED}
if not mine(KEYS[1], ARGV[1]) then return 0 end
local found = redis.call('HMGET', KEYS[1], 'epoch', 'shown')
if found[1] == ARGV[2] then return 1 end
if ARGV[5] == '1' and found[2] then return 0 end
if lacks(KEYS[2], ARGV[6]) then return -1 end
if fenced(KEYS[2], ARGV[7]) ~= ARGV[6] then return 0 end
redis.call('XADD', KEYS[2], ARGV[3], 'j', ARGV[4], 'a', ARGV[7])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
redis.call('HDEL', KEYS[1], 'token', 'dispatcher')
return 1`;

/**
 * Ends an answer. KEYS: 1 the record, 2 the log, 3 the open answers, 4 the body, 5 the webhook events that are due. ARGV: 1
 * id, 2 the ownership, 3 state, 4 JSON for the log, 5 the answer, 6 life span of what stays in ms. 7 its webhook event, or
 * empty; 8 an entry that the log must have. Returns 0 if it is another's, or over; -1 if the log lacks that entry. Safe to
 * repeat.
 */
export const FINISH = `${OWNED}${DUE}${LOG_PLACES}
local was = redis.call('HMGET', KEYS[1], 'n', 'owner', 'state', 'answer')
if was[1] and was[1] .. ' ' .. was[2] == ARGV[2] and was[3] == ARGV[3] and was[4] == ARGV[5] then return 1 end
if not mine(KEYS[1], ARGV[2]) then return 0 end
if lacks(KEYS[2], ARGV[8]) then return -1 end
redis.call('XADD', KEYS[2], 'NOMKSTREAM', '${LAST_ENTRY}', 'j', ARGV[4], 'a', top_of(KEYS[2]) or '')
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'answer', ARGV[5])
due(KEYS[5], ARGV[7])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 1`;

/**
 * Cancels an answer of any owner, and tells that owner. KEYS as in `FINISH`. ARGV: 1 id, 2 JSON for the log, 3 the
 * answer, 4 life span of what stays in ms, 5 prefix of the owners' streams. 6 its webhook event, or empty. Returns the state
 * before, and dispatcher and token of the attempt that has it.
 */
export const CANCEL = `${OWNED}${DUE}
local state, owner, dispatcher, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'dispatcher', 'token'))
if not isOpen(state) then return {state or '', '', ''} end
redis.call('XADD', KEYS[2], 'NOMKSTREAM', '${LAST_ENTRY}', 'j', ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'cancelled', 'answer', ARGV[3])
due(KEYS[5], ARGV[6])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('XADD', ARGV[5] .. owner, 'NOMKSTREAM', '*', 's', '', ARGV[1] .. ':', '')
return {state, dispatcher or '', token or ''}`;

/**
 * Packs the log of an answer that is over, unless it was removed. KEYS: 1 the record, 2 the packed log, 3 the log, 4 the input, 5
 * and 6 see `COUNT`. ARGV: 1 id, 2 the packed log, 3 id of the key, 4 life span in ms, 5 that of the log. 6 bytes to
 * count, 7 `1`: the input stays.
 */
export const ARCHIVE = `${OWNED}${COUNT}
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if ARGV[7] == '1' then redis.call('PEXPIRE', KEYS[4], ARGV[4]) else redis.call('DEL', KEYS[4]) end
count(KEYS[5], KEYS[6], ARGV[1], tonumber(ARGV[6]), ARGV[3], ARGV[4])
return 1`;

/** Counts what an answer keeps. KEYS: see `COUNT`. ARGV: id, bytes (empty: nothing any more), id of the key, life span in ms. */
export const SIZE = `${OWNED}${COUNT}
count(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4])
return 1`;

/**
 * Renews an owner's leases. KEYS: 1 the open answers. ARGV: 1 prefix of the records, 2 lease in ms; 0 gives them up for
 * another gateway. Then id and ownership of each. Returns the ids that are another's, or over.
 */
export const RENEW = `${OWNED}
local lost, lapses = {}, ARGV[2] == '0' and 0 or now() + ARGV[2]
for i = 3, #ARGV, 2 do
  if mine(ARGV[1] .. ARGV[i], ARGV[i + 1]) then redis.call('ZADD', KEYS[1], lapses, ARGV[i])
  else lost[#lost + 1] = ARGV[i] end
end
return lost`;

/**
 * Takes answers whose owner's lease has lapsed. KEYS: 1 the open answers. ARGV: 1 prefix of the records, 2 this replica, 3
 * lease in ms, 4 how many at most, 5 `1`: none, but tells all that this replica owns. Returns id and number of each.
 */
export const ADOPT = `${OWNED}
local adopted, at = {}, now()
if ARGV[5] == '1' then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local found = redis.call('HMGET', ARGV[1] .. id, 'owner', 'n', 'state')
    if found[1] == ARGV[2] and isOpen(found[3]) then
      adopted[#adopted + 1] = id
      adopted[#adopted + 1] = found[2]
    end
  end
  return adopted
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', at, 'LIMIT', 0, ARGV[4])) do
  local record = ARGV[1] .. id
  if not isOpen(redis.call('HGET', record, 'state')) then redis.call('ZREM', KEYS[1], id)
  else
    adopted[#adopted + 1] = id
    adopted[#adopted + 1] = redis.call('HINCRBY', record, 'n', 1)
    redis.call('HSET', record, 'owner', ARGV[2])
    redis.call('ZADD', KEYS[1], at + ARGV[3], id)
  end
end
return adopted`;

/**
 * Notes that a replica has readers of an answer. KEYS: 1 the readers (sorted set). ARGV: 1 replica, 2 for how long from now,
 * in ms, 3 life span of the note in ms.
 */
export const READ = `${OWNED}
redis.call('ZADD', KEYS[1], now() + ARGV[2], ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

/** KEYS: as in `READ`. Returns the time in ms until an answer has no reader any more, below 0 after that; nil: it had none. */
export const HEARD = `${OWNED}
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return last[2] and last[2] - now()`;

/**
 * Asks the owner of an answer whether it is there: it renews its lease then, and else the lease lapses soon. Older owners do
 * not know this question. KEYS: 1 the record, 2 the open answers. ARGV: 1 id, 2 time to answer in ms, 3 prefix of the
 * owners' streams. Returns 1 if it was asked.
 */
export const QUESTION = `${OWNED}
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner'))
if not isOpen(state) or string.sub(owner, -1) ~= '${TAKES_REPLIES}' then return 0 end
local soon = now() + ARGV[2]
if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0') > soon then redis.call('ZADD', KEYS[2], soon, ARGV[1]) end
redis.call('XADD', ARGV[3] .. owner, 'NOMKSTREAM', '*', 's', '', ARGV[1] .. ':${QUESTION_MARK}', '')
return 1`;

/**
 * Tells the dispatcher of an owned answer to stop. KEYS: 1 the record. ARGV: 1 the ownership, 2 channel, 3 message.
 */
export const STOP = `${OWNED}
local n, owner = unpack(redis.call('HMGET', KEYS[1], 'n', 'owner'))
if not n or n .. ' ' .. owner ~= ARGV[1] then return 0 end
return redis.call('PUBLISH', ARGV[2], ARGV[3])`;
