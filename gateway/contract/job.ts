import { z } from 'zod';
import { JobTrace } from './trace.ts';

/** Which of a model's two queues: engines have separate slots for requests with and without a picture. */
export const KINDS = ['text', 'image'] as const;
export type Kind = (typeof KINDS)[number];

/** Engine routes that a body may be meant for. */
export const ENGINE_PATHS = ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/tokenize'] as const;
export type EnginePath = (typeof ENGINE_PATHS)[number];

/** What crosses the queue: no word of a prompt. The body has its own key (`redisKeys.body`), written before. */
export const JobV1 = z.object({
  v: z.literal(1),
  requestId: z.string().min(1),
  /** number of this job among the request's jobs; only the gateway raises it */
  epoch: z.number().int().positive(),
  model: z.string().min(1),
  kind: z.enum(KINDS),
  /** time from arrival to the end of the answer, in milliseconds; used if the body's key has no expiry */
  deadlineMs: z.number().int().positive(),
  /** the reply stream of the gateway replica that holds the client; gateways of 0.2 give the replica alone */
  replica: z.string().min(1),
  path: z.enum(ENGINE_PATHS),
  /** its frames go to a log that outlives the gateway (`answer-log.ts`), and its body is in the first Redis */
  durable: z
    .object({
      /** an attempt whose frames need more bytes than this is ended */
      logBytes: z.int().positive(),
    })
    .exactOptional(),
  /** the trace that its attempts belong to; absent: none. Dispatchers of release 0.2 ignore it */
  trace: JobTrace.exactOptional(),
  /** for the booking of its attempts; absent in jobs of older gateways and of the gateway's own questions */
  usage: z
    .object({
      /** id of the caller's key */
      keyId: z.string().min(1),
      /** how many days the usage is kept */
      days: z.int().positive(),
      /** prompt tokens of its pictures */
      imageTokens: z.int().nonnegative(),
      /** tokens of the answer that its prompt holds, because an earlier attempt delivered them */
      deliveredTokens: z.int().nonnegative(),
    })
    .exactOptional(),
});
export type JobV1 = z.infer<typeof JobV1>;
/** Dispatchers of release 0.1 take no job without these fields, and use none of them. */
const WANTED_BY_0_1 = { priority: 1, keyId: '' } as const;

/** The job as it is written to the queue. */
export function writtenJob(job: Omit<JobV1, 'v'>): JobV1 {
  return { v: 1, ...job, ...WANTED_BY_0_1 };
}

/** A job that a newer gateway wrote for newer workers. */
export const LaterJob = z.object({ v: z.int().min(2) });

/** The id that BullMQ deduplicates by. */
export function jobId(requestId: string, epoch: number): string {
  return `${requestId}-${epoch}`;
}

/** Finished jobs stay for a minute, so that a re-sent `add` is a no-op. They hold no body. */
const KEPT = { age: 60, count: 50_000 } as const;
export const JOB_OPTIONS = {
  attempts: 1,
  removeOnComplete: KEPT,
  removeOnFail: KEPT,
  sizeLimit: 16_384,
} as const;

/** BullMQ Worker settings that make redelivery of a killed dispatcher's job take seconds, not a minute. */
export const WORKER_OPTIONS = {
  lockDuration: 10_000,
  stalledInterval: 5_000,
  maxStalledCount: 1,
  /** seconds; a connection that is silent for longer than the limit of `runtime/redis.ts` counts as dead */
  drainDelay: 2,
} as const;

/** A body is kept this much longer than the deadline, in ms: the remaining time is its PTTL minus this. */
export const BODY_GRACE_MS = 60_000;

/** Fencing token. A later epoch wins, or a later pickup of the same epoch. */
export interface Token {
  readonly epoch: number;
  /** BullMQ's `attemptsStarted` of the pickup */
  readonly attempt: number;
}
export function sameToken(a: Token, b: Token): boolean {
  return a.epoch === b.epoch && a.attempt === b.attempt;
}
