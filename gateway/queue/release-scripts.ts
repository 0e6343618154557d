import { KEPT_MS } from './reserve-script.ts';

/** A request that waited less did not wait for an engine, so its turn tells nothing about the pace. In ms. */
const WAITED_MS = 50;
/** The pace is measured over one to two windows, each of at least this many ms of waiting and this many turns. */
const WINDOW_MS = 5_000;
const WINDOW_TURNS = 16;
/** How long an unused measurement is kept, in ms. */
const PACE_KEPT_MS = 86_400_000;

/**
 * Releases a reservation, and measures the pace: how far `v` advances in a ms in which something waits.
 * `v` does not pass the next booking whose moment is still to come: its request would come with a tag of the past.
 * KEYS: 1 reservations, 2 reserved bytes, 3 shares, 4 reservations of the key, 5 pace, 6 bookings. The pace is a packed list. It begins
 * with the time of the last turn and `v` then. Three sums follow: ms of waiting, advance of `v`, turns. The last six are
 * the same three at the start of each of the last two windows.
 * ARGV: member, bytes, tag if the request was taken, otherwise empty, ms that it waited. Safe to repeat.
 */
export const RELEASE = `
local member, bytes, tag, waited = unpack(ARGV)
if tag ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then
  tag, waited = tonumber(tag), tonumber(waited)
  local before = tonumber(redis.call('HGET', KEYS[3], 'v') or '0')
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local next = redis.call('ZRANGEBYSCORE', KEYS[6], '(' .. now + ${KEPT_MS}, '+inf', 'LIMIT', 0, 1)[1]
  local v = math.max(before, math.min(tag, next and tonumber(string.match(next, '%S+$')) or tag))
  if v > before then redis.call('HSET', KEYS[3], 'v', string.format('%.17g', v)) end
  if waited >= ${WAITED_MS} and redis.call('ZSCORE', KEYS[1], member) then
    local packed = redis.call('GET', KEYS[5])
    local p = packed and cmsgpack.unpack(packed) or {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    local follows = p[1] >= now - waited and p[2] <= before
    p[3] = p[3] + math.min(waited, now - p[1])
    p[4] = p[4] + v - (follows and p[2] or before)
    p[5] = p[5] + 1
    p[1], p[2] = now, v
    if p[3] - p[9] >= ${WINDOW_MS} and p[5] - p[11] >= ${WINDOW_TURNS} then
      for i = 0, 2 do p[6 + i], p[9 + i] = p[9 + i], p[3 + i] end
    end
    redis.call('SET', KEYS[5], cmsgpack.pack(p), 'PX', ${PACE_KEPT_MS})
  end
end
if redis.call('ZSCORE', KEYS[1], member) then
  if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[2])
  else redis.call('DECRBY', KEYS[2], bytes) end
  redis.call('ZREM', KEYS[1], member)
end
redis.call('ZREM', KEYS[4], member)
return 1`;

/**
 * Extends the reservations of requests that still wait, and restores lost ones, for example after a restart of Redis.
 * KEYS: 1 reservations, 2 reserved bytes. ARGV: expiry in ms, then pairs of `<member>` and `<key of the caller's own
 * set>` or empty.
 */
export const RENEW = `
local t = redis.call('TIME')
local lapses = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], lapses, ARGV[i]) == 1 then
    redis.call('INCRBY', KEYS[2], string.match(ARGV[i], ':(%d+)$'))
  end
  if ARGV[i + 1] ~= '' then redis.call('ZADD', ARGV[i + 1], 'XX', lapses, ARGV[i]) end
end
return 1`;
