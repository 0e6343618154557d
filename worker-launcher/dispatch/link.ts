import { z } from 'zod';
import { EngineReport } from '#contract/registry';
import type { EngineAddress } from '../engine/address.ts';

/** The IPC channel between the launcher and its dispatcher processes; both sides parse what arrives. */

/** The launcher's state of an engine; the dispatcher adds the requests in flight. */
export const EngineEntry = EngineReport.omit({ inFlight: true });
export type EngineEntry = z.infer<typeof EngineEntry>;

/** Where the engine of an entry listens. */
export function addressOf({ socket, port }: EngineEntry): EngineAddress {
  return socket === undefined ? { port } : { socket };
}

export const ToDispatcher = z.discriminatedUnion('type', [
  /** all engines of this dispatcher, at every change */
  z.object({ type: z.literal('engines'), engines: z.array(EngineEntry) }),
  /** the engine answers no request: those without a first byte, or without any byte for `stuckMs`, must run elsewhere */
  z.object({ type: z.literal('relieve'), engine: z.string(), stuckMs: z.number() }),
  /** stop pulling; answer `drained` when no request is in flight */
  z.object({ type: z.literal('drain') }),
]);
export type ToDispatcher = z.infer<typeof ToDispatcher>;

const load = z.object({ text: z.number().int().nonnegative(), image: z.number().int().nonnegative() });
const Intake = z.object({
  taken: z.number(),
  waiting: z.number(),
  headless: z.number(),
  silentMs: z.number(),
  heardAgoMs: z.number().nullable(),
  stuckMs: z.number(),
  movedAgoMs: z.number().nullable(),
});
export const FromDispatcher = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready'), incarnation: z.string() }),
  /** requests in flight per engine id, after a change, at most ten times a second */
  z.object({ type: z.literal('load'), inFlight: z.record(z.string(), load) }),
  /** a connection to this engine was refused or reset: probe it now */
  z.object({ type: z.literal('suspect'), engine: z.string() }),
  /** how an answer of this engine ended: every failure, but at most one success per 100 ms */
  z.object({ type: z.literal('answered'), engine: z.string(), status: z.int() }),
  z.object({ type: z.literal('drained') }),
  /** sent once a second: its event loop runs; the reports on its engines */
  z.object({ type: z.literal('alive'), intakes: z.record(z.string(), Intake).optional() }),
]);
/** Interval of a dispatcher's `alive` messages, in milliseconds. */
export const ALIVE_EVERY_MS = 1_000;
export type FromDispatcher = z.infer<typeof FromDispatcher>;
