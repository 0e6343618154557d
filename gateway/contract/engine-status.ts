/**
 * With these vLLM refuses the caller's request (source: vLLM 0.32 and 0.33). Any other error status is a failure of the
 * engine. It then rejects the gateway itself or the model name, or sends a status that no engine should send, such as 429.
 */
const REFUSALS: ReadonlySet<number> = new Set([400, 422]);

/** Whether an engine's answer with this status may be the caller's fault. */
export function isRefusal(status: number): boolean {
  return REFUSALS.has(status);
}
