import type { Limits } from '../../worker-launcher/engine/state.ts';

/** Short limits of an engine's state machine; all in milliseconds, except the count of probes. */
export const ENGINE_LIMITS: Limits = {
  startMs: 900,
  drainMs: 600,
  settleMs: 50,
  stopMs: 40,
  probes: 3,
  suspectMs: 500,
  backoffMs: 10,
  backoffCapMs: 80,
  stableMs: 1_000,
};
