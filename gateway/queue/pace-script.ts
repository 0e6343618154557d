/** Fewest turns that make a measured pace. */
const FEWEST = 4;

/** A booked try may come this long after its moment; its place is free again after that. In ms. */
export const KEPT_MS = 30_000;

/**
 * Lua: `bounded(wait, jobs, turnMs, bookings, now)` corrects a wait by tags, all times in ms. While engines drain faster than
 * the open bookings expect, these do not delay anything before their moments: no more requests go first than wait, or come
 * in that time. `bookings` is their key.
 */
export const BOUNDED = `
local function bounded(wait, jobs, turnMs, bookings, now)
  local soon = jobs * turnMs
  for _ = 1, 8 do
    local comes = redis.call('ZCOUNT', bookings, '(' .. now + ${KEPT_MS}, math.floor(now + ${KEPT_MS} + soon))
    local later = (jobs + comes) * turnMs
    if later <= soon * 1.01 or later >= wait then return math.min(wait, later) end
    soon = later
  end
  return math.min(wait, soon)
end`;

/**
 * Lua: reads what `RELEASE` measures. `measured(packed)` returns nothing without a measurement. Otherwise: the advance of
 * `v` and the drained turns, per ms of waiting, and the advance as a part of the drained growth.
 */
export const MEASURED = `
local function measured(packed)
  if not packed then return end
  local p = cmsgpack.unpack(packed)
  local ms, advance, turns = p[3] - p[7], p[4] - p[8], p[6] - p[10]
  if not (turns >= ${FEWEST} and ms > 0 and advance > 0 and advance < math.huge) then return end
  return advance / ms, turns / ms, math.min(1, advance / (p[5] - p[9]))
end`;
