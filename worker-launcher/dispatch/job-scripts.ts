import type { Result } from 'ioredis';
import type { RedisClient } from '#runtime/redis-client';

/**
 * Two scripts on BullMQ's own data (version 6.7; `test/integration/job-queue.test.ts` compares what they leave with what
 * BullMQ's own scripts leave). BullMQ takes one job at a time, and each of its moves writes to an event stream that
 * no program reads.
 * In both, the commands that a full Redis refuses come first: it then refuses the entire script, and no job is lost.
 */

/**
 * Notes how busy the emptiest engine of a dispatcher is: `<load> <time of Redis in ms>`, or nothing if all are full. A
 * dispatcher that is silent for longer than this may have died, in ms: it looks for jobs more often, see `drainDelay`.
 */
const NOTED_FOR_MS = 3_000;
const NOTE = `
local function note(loads, dispatcher, load)
  if not load or load == '' then return redis.call('HDEL', loads, dispatcher) end
  local t = redis.call('TIME')
  redis.call('HSET', loads, dispatcher, load .. ' ' .. t[1] * 1000 + math.floor(t[2] / 1000))
end
`;

/**
 * Takes jobs in the order of their priority, and locks them. Delayed jobs whose time has come are taken too.
 * KEYS: BullMQ's 1 prioritized, 2 active, 3 wait, 4 delayed, 5 marker, 6 pc, 7 meta. 8 loads of the dispatchers. ARGV: 1
 * prefix of BullMQ's jobs, 2 the time in ms. 3 number of free slots, 4 number of engines. 5 token of the locks, 6 life span
 * of the locks in ms. 7 this dispatcher, 8 `1`: it has passed jobs already, 9 what one job adds to the load of an engine. 10
 * and more: the load of its emptiest engine before each next job.
 * It takes one job an engine, so that other dispatchers get theirs; more if far more jobs wait than that, 1,000 at most.
 * It passes jobs to other dispatchers while an engine of theirs holds fewer requests than its own, by more than one. Not
 * if more jobs wait than it has engines: then each dispatcher gets some.
 * Returns first whether more jobs wait (1; 0: no; 2: they are passed), and the time of the next delayed job in ms (0: none).
 * Then id, data and number of this pickup for each job.
 */
const TAKE = `${NOTE}
local now = tonumber(ARGV[2])
local due = redis.call('ZRANGEBYSCORE', KEYS[4], 0, (now + 1) * 0x1000 - 1, 'LIMIT', 0, 1000)
for _, id in ipairs(due) do
  local priority = tonumber(redis.call('HGET', ARGV[1] .. id, 'priority')) or 0
  if priority == 0 then redis.call('LPUSH', KEYS[3], id)
  else redis.call('ZADD', KEYS[1], priority * 0x100000000 + redis.call('INCR', KEYS[6]) % 0x100000000, id) end
  redis.call('HSET', ARGV[1] .. id, 'delay', 0)
  redis.call('ZREM', KEYS[4], id)
end
local listed = redis.call('LLEN', KEYS[3])
local waiting = listed + redis.call('ZCARD', KEYS[1])
local most = math.min(tonumber(ARGV[3]), waiting, 1000, math.max(tonumber(ARGV[4]), math.floor(waiting / 4)))
if redis.call('HEXISTS', KEYS[7], 'paused') == 1 then most = 0 end
local own = most
if ARGV[8] ~= '1' and most > 0 and waiting <= tonumber(ARGV[4]) then
  local t = redis.call('TIME')
  local since = t[1] * 1000 + math.floor(t[2] / 1000) - ${NOTED_FOR_MS}
  local loads = redis.call('HGETALL', KEYS[8])
  for i = 1, #loads, 2 do
    local load, at = string.match(loads[i + 1], '^(%S+) (%d+)$')
    local highest = tonumber(load) + tonumber(ARGV[9]) + 1e-9
    if loads[i] ~= ARGV[7] and tonumber(at) > since then
      while own > 0 and (tonumber(ARGV[9 + own]) or math.huge) > highest do own = own - 1 end
    end
  end
end
local isPassed = own < most
most = own
local ids = {}
if listed > 0 and most > 0 then
  ids = redis.call('LRANGE', KEYS[3], -most, -1)
  redis.call('LPUSH', KEYS[2], unpack(ids))
  redis.call('LTRIM', KEYS[3], 0, -#ids - 1)
end
if #ids < most then
  local first = redis.call('ZRANGE', KEYS[1], 0, most - #ids - 1)
  redis.call('LPUSH', KEYS[2], unpack(first))
  redis.call('ZREM', KEYS[1], unpack(first))
  for _, id in ipairs(first) do ids[#ids + 1] = id end
end
local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local isMore = 0
if isPassed then isMore = 2 elseif waiting > #ids and most > 0 then isMore = 1 end
local taken = {isMore, next and math.floor(tonumber(next) / 0x1000) or 0}
for _, id in ipairs(ids) do
  local key = ARGV[1] .. id
  redis.call('SET', key .. ':lock', ARGV[5], 'PX', ARGV[6])
  redis.call('HSET', key, 'processedOn', ARGV[2])
  local pickup = redis.call('HINCRBY', key, 'ats', 1)
  taken[#taken + 1] = id
  taken[#taken + 1] = redis.call('HGET', key, 'data') or ''
  taken[#taken + 1] = pickup
end
if isMore > 0 then redis.call('ZADD', KEYS[5], 0, '0')
elseif waiting == #ids then redis.call('DEL', KEYS[6]) end
note(KEYS[8], ARGV[7], ARGV[10 + #ids])
return taken`;

/**
 * Notes jobs as completed and removes their locks. A job whose lock is another's stays as it is. Old completed jobs are
 * removed, twice as many as are added at most.
 * KEYS: BullMQ's 1 completed, 2 active, 3 stalled. 4 loads of the dispatchers. ARGV: 1 prefix of BullMQ's jobs, 2 the time
 * in ms. 3 and 4 how long (ms) and how many completed jobs are kept, 5 this dispatcher, 6 load of its emptiest engine, empty
 * if all are full. Then id and token of each job. Returns how many had another's lock, or none.
 */
const FINISH = `${NOTE}
local lost = 0
for i = 7, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[1] .. ARGV[i]
  if redis.call('GET', key .. ':lock') == ARGV[i + 1] then
    redis.call('ZADD', KEYS[1], ARGV[2], id)
    redis.call('HINCRBY', key, 'atm', 1)
    redis.call('HSET', key, 'returnvalue', 'null', 'finishedOn', ARGV[2])
    redis.call('LREM', KEYS[2], -1, id)
    redis.call('SREM', KEYS[3], id)
    redis.call('DEL', key .. ':lock')
  else lost = lost + 1 end
end
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[4])
local oldest = redis.call('ZRANGE', KEYS[1], 0, #ARGV - 7, 'WITHSCORES')
for i = 1, #oldest, 2 do
  if (i + 1) / 2 > surplus and tonumber(oldest[i + 1]) > tonumber(ARGV[2]) - tonumber(ARGV[3]) then break end
  redis.call('ZREM', KEYS[1], oldest[i])
  redis.call('DEL', ARGV[1] .. oldest[i])
end
note(KEYS[4], ARGV[5], ARGV[6])
return lost`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    penstockTake(...args: (string | number)[]): Result<[rest: number, nextAt: number, ...jobs: unknown[]], Context>;
    penstockFinish(...args: (string | number)[]): Result<number, Context>;
  }
}

/** Makes `penstockTake` and `penstockFinish` commands of this connection. */
export function defineJobScripts(redis: RedisClient): void {
  redis.defineCommand('penstockTake', { numberOfKeys: 8, lua: TAKE });
  redis.defineCommand('penstockFinish', { numberOfKeys: 4, lua: FINISH });
}
