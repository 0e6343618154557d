import type { ServiceClass } from '#contract/service-class';
import { MEASURED } from './pace-script.ts';
import { PRIORITIES } from './priority-script.ts';

/** Weights of the classes inside a key's share. */
const WEIGHTS: Readonly<Record<ServiceClass, number>> = { priority: 8, default: 2, flex: 1 };
/** A booked try may come this long after its moment; its place is free again after that. In ms. */
const KEPT_MS = 30_000;
/** Clients' timers may fire this early, in ms. */
const EARLY_MS = 100;
/** Turns further ahead than this are not booked, in ms: OpenAI's clients obey no longer time. */
const AHEAD_MS = 60_000;
/**
 * A booked try comes at most this long before its turn, in ms, so that engines find something waiting. Nor does it come
 * before the time in which half of the queue's limit drains, so that booked tries alone do not fill the queue.
 */
const LEAD_MS = 5_000;
/** Open bookings of a model, however fast it drains. */
const MOST_BOOKINGS = 20_000;
/** The bookings of one key among others, as a part of all. */
const MOST_OF_A_KEY = 0.9;
/** A try with less time than this is not booked, in ms: it would find a place and no time. */
const LEAST_TIME_MS = 1_000;
/** A wait counts as too long for a deadline above this part of it, because estimates have errors. */
const LATE = 1.5;

/**
 * Makes a reservation among the waiting requests of a model and of the caller's key, gives it a priority that shares the
 * engines between keys, and estimates its wait. A refused request gets a booking: a turn of its own, and the moment of the
 * next try. In all scripts the commands that a full Redis refuses come first: Redis then refuses the entire script, and
 * the keys stay consistent.
 *
 * Shares (start-time fair queueing): the queue's virtual time `v` is the tag of the request that was taken last. A
 * request's tag is its key's virtual time, which the request then raises by cost / weight. The lowest tag goes next. The
 * virtual time of an idle key follows `v`, one request behind. So its next two requests go before all others, however much
 * waits for other keys. Classes divide the share of their key in the same way; what was taken of all of them (`u`) bounds
 * each. What leaves without being taken costs nothing. A booking has its tag behind those of its key's other bookings (`p`),
 * and costs its key something only if the try comes. An empty queue starts again from 0. Priorities count from `base`;
 * from time to time the script raises it to `v`, and lowers all queued priorities.
 *
 * Wait: (tag - v) / (advance of `v` per ms of waiting), which the release of taken requests measures. The next request waits
 * too, so the distance is at least one unit.
 *
 * Who is refused: open bookings count as places. A tenth of the places is for keys that hold less than half of what the
 * longest-waiting key holds, and no bookings count for these, open or waiting. A booked try is let in whatever waits, if
 * bytes, caps and its deadline permit it. A deadline refuses only if a measured pace says so, and the number of waiting
 * requests too. Two moments of one key are a turn of the queue apart at least. Because the measured pace is wrong for some
 * seconds when keys of very different weight come and go.
 *
 * KEYS: 1 reservations (sorted set `<request id>:<bytes>` by lapse time in ms of Redis), 2 reserved bytes, 3 shares, a hash.
 * Its fields: v, base, `t:<key id>`, `t:<key id> <class>`, `u:<key id>`, `pt:<key id> <class>`, `n:<key id>` (open bookings
 * of the key), `b` (booked tries that wait). 4 reservations of the key. 5-7 BullMQ's prioritized, delayed, active, 8 the
 * body, 9 pace. 10 bookings, a sorted set `<hash> <moment in ms> <tag> <key id>` by lapse time. 11 the same members by name,
 * to find those of a hash.
 * ARGV: see the first lines; `hash` is empty until it is needed, `guess` is the pace without a measurement or 0.
 * Returns the fields of `Reply` in `reservations.ts`. The verdict `hash` means: call again with one. A time of -1 is
 * unknown.
 */
export const RESERVE = `${MEASURED}${PRIORITIES}
local id, size, expiry, limitJobs, limitBytes, keyId, step, capJobs, capBytes, queue, rebaseAbove, placeMs, bodyMs,
  class, hash, isRetry, leftMs, guess, spare = unpack(ARGV)
size, limitJobs, limitBytes, step, capJobs, capBytes = tonumber(size), tonumber(limitJobs), tonumber(limitBytes), tonumber(step), tonumber(capJobs), tonumber(capBytes)
leftMs, spare = tonumber(leftMs), tonumber(spare)
local function exact(number) return string.format('%.17g', number) end
local function keep(key)
  if redis.call('PTTL', key) < tonumber(expiry) then redis.call('PEXPIRE', key, expiry) end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, member in ipairs(lapsed) do bytes = bytes - tonumber(string.match(member, ':(%d+)$')) end
local jobs = redis.call('ZCARD', KEYS[1]) - #lapsed
if jobs == 0 then bytes = 0 end
local open = redis.call('ZCARD', KEYS[10])
local missed = open > 0 and redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', now, 'LIMIT', 0, 100) or {}
open = open - #missed

local starts = jobs == 0 and open == 0
local name = 't:' .. keyId
local names = {priority = name .. ' priority', default = name, flex = name .. ' flex'}
local shares = starts and {} or redis.call('HMGET', KEYS[3], 'v', 'base', names.priority, names.default, names.flex, 'u:' .. keyId, 'n:' .. keyId, 'b', 'p' .. names[class])
local v, base, used = tonumber(shares[1] or '0'), tonumber(shares[2] or '0'), tonumber(shares[6] or '0')
local ownBookings, booked = tonumber(shares[7] or '0'), math.min(jobs, tonumber(shares[8] or '0'))
local behindBookings = tonumber(shares[9] or '0')
local weights = {priority = ${WEIGHTS.priority}, default = ${WEIGHTS.default}, flex = ${WEIGHTS.flex}}
local last, furthest, waiting = 0, 0, weights[class]
for i, other in ipairs({'priority', 'default', 'flex'}) do
  local tag = tonumber(shares[i + 2] or '0')
  furthest = math.max(furthest, tag)
  if other == class then last = tag elseif tag > v then waiting = waiting + weights[other] end
end
local growth = step * waiting / weights[class]
local tag = math.max(v - growth, last, used)

local pace, turns = measured(redis.call('GET', KEYS[9]))
local turnMs, lead = 0, ${LEAD_MS}
if pace then turnMs, lead = 1 / turns, math.min(lead, limitJobs / 2 / turns)
else pace = tonumber(guess) end
local function turnIn(tag) return math.max(1, tag - v) / pace end

local due, early
if open > 0 and hash ~= '' then
  local first = redis.call('ZRANGE', KEYS[11], '[' .. hash .. ' ' .. now - ${KEPT_MS}, '[' .. hash .. ' ~', 'BYLEX', 'LIMIT', 0, 1)[1]
  local moment, turn = string.match(first or '', '^%S+ (%d+) (%S+)')
  if first and tonumber(moment) <= now + ${EARLY_MS} then due, tag = first, tonumber(turn)
  elseif first then early = tonumber(moment) end
end
local estimate = pace > 0 and (jobs == 0 and 0 or math.floor(turnIn(tag))) or -1

local verdict = 'ok'
local most, held = limitJobs - spare, jobs + open
if spare > 0 and held >= most and not due then
  local top = redis.call('ZREVRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
  local longest = top and ahead_of(priority_in(top)) + base - v or 0
  if furthest - v < longest / 2 then most, held = limitJobs + spare, jobs - booked end
end
if held >= most and not due and (open == 0 or jobs >= limitJobs / 10) then verdict = 'jobs'
elseif bytes + size > limitBytes then verdict = 'bytes'
elseif capJobs > 0 and redis.call('ZCOUNT', KEYS[4], '(' .. now, '+inf') >= capJobs then verdict = 'key_jobs'
elseif math.min(estimate, jobs * turnMs * 2) > ${LATE} * leftMs then verdict = 'late'
elseif capBytes > 0 then
  local own = size
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. now, '+inf')) do
    own = own + tonumber(string.match(member, ':(%d+)$'))
  end
  if own > capBytes then verdict = 'key_bytes' end
end
if hash == '' and pace > 0 and (verdict ~= 'ok' or open > 0) then return {'hash', 0, '', '', estimate, open, -1, 0} end

local member = id .. ':' .. ARGV[2]
local lapses = now + tonumber(placeMs)
local function forget(booking)
  redis.call('ZREM', KEYS[10], booking)
  redis.call('ZREM', KEYS[11], booking)
  if not starts then redis.call('HINCRBY', KEYS[3], 'n:' .. string.match(booking, '%S*$'), -1) end
end
local function tidy()
  if #lapsed > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now) end
  if #lapsed > 0 or verdict == 'ok' then
    if bytes > 0 then redis.call('SET', KEYS[2], bytes) else redis.call('DEL', KEYS[2]) end
  end
  for _, booking in ipairs(missed) do forget(booking) end
  if due then forget(due) end
end
if not due and verdict ~= 'ok' then tag = math.max(tag, behindBookings) end

if verdict ~= 'ok' then
  local inMs = -1
  local turn = turnMs > 0 and turnMs or growth / pace
  local most = math.min(${MOST_BOOKINGS}, ${AHEAD_MS} / turn)
  if early and not due and isRetry == '1' then inMs = early - now
  elseif pace > 0 and leftMs >= ${LEAST_TIME_MS} and open < most and ownBookings < most * (spare > 0 and ${MOST_OF_A_KEY} or 1) then
    local wait = math.max(turnIn(tag), ownBookings * turn)
    if wait <= ${AHEAD_MS} then
      inMs = math.floor(wait - math.min(lead, wait / 2, leftMs / 2))
      local booking = table.concat({hash, now + inMs, exact(tag), keyId}, ' ')
      redis.call('ZADD', KEYS[10], now + inMs + ${KEPT_MS}, booking)
      redis.call('ZADD', KEYS[11], 0, booking)
      keep(KEYS[10])
      keep(KEYS[11])
      if starts then redis.call('DEL', KEYS[3]) end
      redis.call('HINCRBY', KEYS[3], 'n:' .. keyId, 1)
      if not due then
        redis.call('HSET', KEYS[3], 'p' .. names[class], exact(tag + growth))
        open = open + 1
      end
      keep(KEYS[3])
    end
  end
  tidy()
  return {verdict, 0, '', '', estimate, open, inMs, 0}
end

redis.call('ZADD', KEYS[1], lapses, member)
bytes = bytes + size
if bodyMs ~= '0' then redis.call('SET', KEYS[8], '', 'PX', bodyMs) end
tidy()
if capJobs > 0 or capBytes > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  redis.call('ZADD', KEYS[4], lapses, member)
  keep(KEYS[4])
end
if starts then redis.call('DEL', KEYS[3]) end
if due then redis.call('HINCRBY', KEYS[3], 'b', 1) end
if keyId ~= '' then redis.call('HSET', KEYS[3], names[class], exact(math.max(v - growth, last, used) + growth)) end
keep(KEYS[3])
local past = math.floor(v - base)
if past > tonumber(rebaseAbove) then
  local function lowered(priority) return priority_of(ahead_of(priority) - past) end
  local queued = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES')
  for i = 1, #queued, 2 do
    local score = tonumber(queued[i + 1])
    local lower = lowered(priority_in(score))
    redis.call('ZADD', KEYS[5], string.format('%.0f', lower * 4294967296 + score % 4294967296), queued[i])
    redis.call('HSET', queue .. queued[i], 'priority', lower)
  end
  for _, ids in ipairs({redis.call('ZRANGE', KEYS[6], 0, -1), redis.call('LRANGE', KEYS[7], 0, -1)}) do
    for _, one in ipairs(ids) do
      local high = tonumber(redis.call('HGET', queue .. one, 'priority') or '0')
      if high > 0 then redis.call('HSET', queue .. one, 'priority', lowered(high)) end
    end
  end
  base = base + past
  redis.call('HSET', KEYS[3], 'base', exact(base))
end
return {verdict, priority_of(tag - base), exact(tag), exact(growth), estimate, open, -1, due and 1 or 0}`;
