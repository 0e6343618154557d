/**
 * By these vLLM refuses what its caller asked for (source: vLLM 0.32 and 0.33). By any other an engine fails us: it does
 * not take us, or the name that we call it by, or what no engine of ours has to say, such as 429.
 */
const REFUSALS: ReadonlySet<number> = new Set([400, 422]);

/** Whether an engine's answer with this status may be the caller's doing. */
export function isRefusal(status: number): boolean {
  return REFUSALS.has(status);
}
