import { z } from 'zod';

export const ENGINE_STATES = ['starting', 'warming', 'ready', 'suspect', 'draining', 'backoff', 'stopped'] as const;
export const NO_PORT = 1;
/** Limits of the texts in a report, in characters: a longer one would make readers drop the whole report. */
export const ENGINE_TEXTS = { stage: 200, lastFailure: 500 } as const;
const room = z.object({ text: z.number().int().nonnegative(), image: z.number().int().nonnegative() });

export const EngineReport = z.object({
  /** stable name on its node, such as `engine-0` */
  id: z.string(),
  model: z.string(),
  pid: z.number().int().positive().nullable(),
  /** on loopback; `NO_PORT` for an engine on a socket, because readers of earlier releases require a number */
  port: z.number().int().positive(),
  /** its unix socket, a path on its node; absent from earlier writers and from engines that listen on their port */
  socket: z.string().exactOptional(),
  state: z.enum(ENGINE_STATES),
  slots: room,
  inFlight: room,
  /** UUIDs or indexes of its GPUs; this and what follows is absent from earlier writers */
  gpus: z.array(z.string().max(100)).max(64).exactOptional(),
  restarts: z.int().nonnegative().exactOptional(),
  /** progress of its start, for people; absent once it is ready */
  stage: z.string().max(ENGINE_TEXTS.stage).exactOptional(),
  /** cause of its last failure and what to do, in a sentence; absent if it never failed */
  lastFailure: z.string().max(ENGINE_TEXTS.lastFailure).exactOptional(),
});
export type EngineReport = z.infer<typeof EngineReport>;

/** What one dispatcher reports once a second; the report expires after `WORKER_REPORT_TTL_MS`. */
export const WorkerReport = z.object({
  incarnation: z.string().min(1),
  pid: z.number().int().positive(),
  launcherPid: z.number().int().positive(),
  node: z.string(),
  pool: z.string(),
  draining: z.boolean(),
  /** it writes the logs of durable answers; absent from earlier writers */
  durable: z.literal(true).exactOptional(),
  engines: z.array(EngineReport),
});
export type WorkerReport = z.infer<typeof WorkerReport>;

/** The report as it is written to the registry. Gateways of release 0.1 require `contract`, and do not use it. */
export function writtenReport(report: WorkerReport): string {
  return JSON.stringify({ ...report, contract: [1] });
}

export const WORKER_REPORT_EVERY_MS = 1_000;
export const WORKER_REPORT_TTL_MS = 5_000;
