import { z } from 'zod';
import { ENGINE_STATES } from './registry.ts';
import { USAGE_COUNTS } from './usage.ts';

/**
 * What the gateway tells the console, a page in a browser. All of it is JSON; `/console/live` sends events whose data are
 * `LiveView`. No prompt, picture or answer is part of it.
 */

const count = z.int().nonnegative();
const ms = z.number().nonnegative();
/** Requests with and without a picture are counted apart. */
const load = z.object({ text: count, image: count });

/** `GET /console/session`: what this caller may see. */
export const ConsoleSession = z.object({
  version: z.string(),
  /** keys are configured */
  keys: z.boolean(),
  /** id of the caller's key */
  keyId: z.string(),
  /** it may see what concerns all callers */
  operate: z.boolean(),
  /** how many days usage is kept */
  usageDays: count,
});
export type ConsoleSession = z.infer<typeof ConsoleSession>;

/** One card, as far as callers need it. */
export const ConsoleModel = z.object({
  name: z.string(),
  version: z.string(),
  aliases: z.array(z.string()),
  /** further names that the operator gave */
  deployments: z.array(z.string()),
  publisher: z.string().optional(),
  license: z.string().optional(),
  released: z.string().optional(),
  retired: z.string().optional(),
  languages: z.array(z.string()),
  task: z.string(),
  input: z.array(z.string()),
  images: count,
  contextTokens: count,
  maxOutputTokens: count,
  defaultOutputTokens: count,
  tools: z.boolean(),
  machines: z.array(z.string()),
  notice: z.object({ text: z.string(), link: z.string() }).optional(),
  /** the rules of the card in sentences */
  rules: z.array(z.string()),
  /** engines that can answer now */
  readyEngines: count,
});
export type ConsoleModel = z.infer<typeof ConsoleModel>;

/** `GET /console/models`: the models that the caller may use. */
export const ConsoleModels = z.object({ models: z.array(ConsoleModel) });

/** What one key used of one model on one day (UTC). */
const UsageRow = z.object({
  day: z.string(),
  key: z.string(),
  model: z.string(),
  counts: z.record(z.enum(USAGE_COUNTS), z.number()),
});

/** `GET /console/usage?days=30`: of the caller's own key, and of all keys if it may operate. */
export const ConsoleUsage = z.object({ rows: z.array(UsageRow) });
export type ConsoleUsage = z.infer<typeof ConsoleUsage>;

const LiveEngine = z.object({
  id: z.string(),
  node: z.string(),
  pool: z.string(),
  model: z.string(),
  state: z.enum(ENGINE_STATES),
  inFlight: load,
  slots: load,
  /** UUIDs or indexes; empty: none, or the worker does not tell */
  gpus: z.array(z.string()),
  restarts: count.nullable(),
  /** progress of its start; null: it is ready, or the worker does not tell */
  stage: z.string().nullable(),
  /** cause of the last failure and what to do, in a sentence */
  lastFailure: z.string().nullable(),
});
export type LiveEngine = z.infer<typeof LiveEngine>;

const LiveQueue = z.object({
  model: z.string(),
  kind: z.string(),
  /** jobs that no dispatcher has taken; null: Redis does not answer */
  waiting: count.nullable(),
  /** told to the last request that waits */
  expectedWaitMs: ms.nullable(),
  /** what the engines took while requests waited */
  requestsPerSecond: z.number().nullable(),
  bookings: count,
  /** keys that wait, by class of service, and how long the queue needs for them */
  keys: z.array(z.object({ key: z.string(), class: z.string(), backlogMs: ms })),
});

/** A request that is over; all times are since its first byte. */
export const LiveRequest = z.object({
  requestId: z.string(),
  /** when it ended, ISO 8601 */
  endedAt: z.string(),
  keyId: z.string(),
  model: z.string(),
  dialect: z.string(),
  path: z.string(),
  status: z.int(),
  /** `answered`, `client_closed`, or the code of its failure */
  outcome: z.string(),
  kind: z.string().optional(),
  stream: z.boolean().optional(),
  promptTokens: count.optional(),
  completionTokens: count.optional(),
  repeats: count,
  /** each in milliseconds; absent: it did not come so far */
  promptCheckMs: ms.optional(),
  answerCheckMs: ms.optional(),
  enqueuedMs: ms.optional(),
  /** the wait that was estimated when it was enqueued */
  estimateMs: ms.optional(),
  claimedMs: ms.optional(),
  firstByteMs: ms.optional(),
  totalMs: ms,
});
export type LiveRequest = z.infer<typeof LiveRequest>;

/** How many requests a gateway remembers. */
export const LIVE_REQUESTS = 200;

/** `GET /console/live` as server-sent events, one a second at most: what an operator sees. */
export const LiveView = z.object({
  /** the gateway that sends this; `requests`, `admission` and `openRequests` are its own */
  replica: z.string(),
  stage: z.string(),
  openRequests: count,
  engines: z.array(LiveEngine),
  queues: z.array(LiveQueue),
  /** outcomes of admission since the gateway started */
  admission: z.record(z.string(), count),
  redis: z.array(z.object({ name: z.string(), state: z.string(), latencyMs: ms.nullable() })),
  /** those that ended since the event before, newest first; in the first event all that it remembers, at most `LIVE_REQUESTS` */
  requests: z.array(LiveRequest),
});
export type LiveView = z.infer<typeof LiveView>;
