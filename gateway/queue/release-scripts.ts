/** A request that waited less did not wait for an engine, so its turn tells nothing about the pace. In ms. */
const WAITED_MS = 50;
/** The pace is measured over one to two windows, each of at least this many ms of waiting and this many turns. */
const WINDOW_MS = 5_000;
const WINDOW_TURNS = 16;
/** How long an unused measurement is kept, in ms. */
const PACE_KEPT_MS = 86_400_000;

/**
 * Releases a reservation. If the request was taken, it measures the pace: how far `v` advances in a ms in which something
 * waits. If it left, its key gets back what it cost. KEYS: 1 reservations, 2 reserved bytes, 3 shares, 4 reservations of the
 * key, 5 pace.
 *
 * The pace is a packed list. It begins with the time of the last turn and `v` then. Three sums follow: ms of waiting,
 * advance of `v`, turns. The last six are the same three at the start of each of the last two windows.
 * ARGV: member, bytes, tag if the request was taken, otherwise empty, its growth, cost / weight, ms that it waited. Its key's
 * id and its field in the shares (both empty: it has no share), `1` if it was let in with a booking. Safe to repeat.
 */
export const RELEASE = `
local member, bytes, tag, growth, step, waited, keyId, field, wasBooked = unpack(ARGV)
local function exact(number) return string.format('%.17g', number) end
local isHeld = redis.call('ZSCORE', KEYS[1], member)
if isHeld and redis.call('EXISTS', KEYS[3]) == 1 then
  growth, step, waited = tonumber(growth), tonumber(step), tonumber(waited)
  local shares = redis.call('HMGET', KEYS[3], 'v', 'u:' .. keyId, field)
  local before = tonumber(shares[1] or '0')
  if wasBooked == '1' then redis.call('HINCRBY', KEYS[3], 'b', -1) end
  if tag == '' then
    local far = tonumber(shares[3] or '0')
    if field ~= '' and far > 0 then redis.call('HSET', KEYS[3], field, exact(math.max(0, far - growth))) end
  else
    tag = tonumber(tag)
    local t = redis.call('TIME')
    local now = t[1] * 1000 + math.floor(t[2] / 1000)
    local packed = redis.call('GET', KEYS[5])
    local v = math.max(before, tag)
    if v > before then redis.call('HSET', KEYS[3], 'v', exact(v)) end
    if keyId ~= '' then redis.call('HSET', KEYS[3], 'u:' .. keyId, exact(math.max(tonumber(shares[2] or '0'), v - step) + step)) end
    if waited >= ${WAITED_MS} then
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
end
if isHeld then
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
