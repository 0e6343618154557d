import { z } from 'zod';
import { EngineReport } from '#contract/registry';
import type { EngineAddress } from '../engine/address.ts';

/** The IPC channel between the launcher and its dispatcher processes; both sides parse what arrives. */

/** What the launcher knows of an engine; the dispatcher adds what is in flight. */
export const EngineEntry = EngineReport.omit({ inFlight: true });
export type EngineEntry = z.infer<typeof EngineEntry>;

/** Where the engine of an entry listens. */
export function addressOf({ socket, port }: EngineEntry): EngineAddress {
  return socket === undefined ? { port } : { socket };
}

export const ToDispatcher = z.discriminatedUnion('type', [
  /** the engines of this dispatcher, whole, at every change */
  z.object({ type: z.literal('engines'), engines: z.array(EngineEntry) }),
  /** the engine answers nobody: what has no byte of an answer from it, or none for so long, is to run elsewhere */
  z.object({ type: z.literal('relieve'), engine: z.string(), stuckMs: z.number() }),
  /** stop pulling; answer `drained` when nothing is in flight */
  z.object({ type: z.literal('drain') }),
]);
export type ToDispatcher = z.infer<typeof ToDispatcher>;

const load = z.object({ text: z.number().int().nonnegative(), image: z.number().int().nonnegative() });
const Intake = z.object({
  taken: z.number(),
  waiting: z.number(),
  silentMs: z.number(),
  heardAgoMs: z.number().nullable(),
  stuckMs: z.number(),
  movedAgoMs: z.number().nullable(),
});
export const FromDispatcher = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready'), incarnation: z.string() }),
  /** in flight per engine id, at most ten times a second, when it changed */
  z.object({ type: z.literal('load'), inFlight: z.record(z.string(), load) }),
  /** a connection to this engine was refused or reset: look at it now */
  z.object({ type: z.literal('suspect'), engine: z.string() }),
  /** how an answer of this engine ended: each failure, and of successes as many as tell that it goes on */
  z.object({ type: z.literal('answered'), engine: z.string(), status: z.int() }),
  z.object({ type: z.literal('drained') }),
  /** once a second: its event loop turns, and this is how its engines do */
  z.object({ type: z.literal('alive'), intakes: z.record(z.string(), Intake).optional() }),
]);
/** How often a dispatcher says that it lives, in milliseconds. */
export const ALIVE_EVERY_MS = 1_000;
export type FromDispatcher = z.infer<typeof FromDispatcher>;
