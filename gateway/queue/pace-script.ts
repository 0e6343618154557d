/** Fewest turns that make a measured pace. */
const FEWEST = 4;

/**
 * Lua: reads what `RELEASE` measures. `measured(packed)` returns nothing without a measurement. Otherwise: the advance of
 * `v` and the drained turns, per ms of waiting.
 */
export const MEASURED = `
local function measured(packed)
  if not packed then return end
  local p = cmsgpack.unpack(packed)
  local ms, advance, turns = p[3] - p[6], p[4] - p[7], p[5] - p[8]
  if not (turns >= ${FEWEST} and ms > 0 and advance > 0 and advance < math.huge) then return end
  return advance / ms, turns / ms
end`;
