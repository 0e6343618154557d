/** BullMQ takes priorities up to 2^21. The nearer half of them is exact to a cost unit. */
const EXACT = 2 ** 20;
/** The other half is spread over this many doublings of the distance, so that no backlog is too long. */
const DOUBLINGS = 12;
const A_FACTOR_E = (EXACT - 2) / (DOUBLINGS * Math.LN2);

/**
 * Lua: a request's place in the order of its queue, as BullMQ's priority. `priority_of(ahead)` takes how far its tag is
 * ahead of `base`; `ahead_of(priority)` is the inverse. `priority_in(score)` reads it from a job of the queue.
 */
export const PRIORITIES = `
local function priority_of(ahead)
  if ahead < ${EXACT} then return math.max(1, math.floor(ahead) + 1) end
  return math.min(${2 * EXACT}, ${EXACT} + 1 + math.floor(math.log(ahead / ${EXACT}) * ${A_FACTOR_E}))
end
local function ahead_of(priority)
  if priority <= ${EXACT} then return priority - 1 end
  return ${EXACT} * math.exp((priority - 1 - ${EXACT}) / ${A_FACTOR_E})
end
local function priority_in(score) return math.floor(tonumber(score) / 4294967296) end`;
