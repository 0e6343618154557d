import { z } from 'zod';
import { ANSWER_STATES } from '#contract/answer-log';
import { BODY_GRACE_MS, ENGINE_PATHS, KINDS } from '#contract/job';
import { SERVICE_CLASSES } from '#contract/service-class';
import { TraceContext } from '#contract/trace';
import type { Phases } from '../answer/notes.ts';
import type { Asked } from '../answer/question.ts';
import { Failure, isFailureCode } from '../failure.ts';
import type { StreamIdentity } from '../request/chat.ts';

/** What an adopter needs of a request besides its body, and what the answers about it tell. */
export const KeptRequest = z.object({
  model: z.string(),
  kind: z.enum(KINDS),
  path: z.enum(ENGINE_PATHS),
  keyId: z.string(),
  share: z.object({
    cost: z.number(),
    weight: z.number(),
    caps: z.object({ waiting_jobs: z.number().optional(), waiting_bytes: z.number().optional() }),
    class: z.enum(SERVICE_CLASSES),
    isOneOfMany: z.boolean(),
  }),
  imageTokens: z.number().exactOptional(),
  deadlineMs: z.number(),
  choices: z.number(),
  messagesParam: z.string(),
  longestAnswer: z.number(),
  serviceTier: z.enum(SERVICE_CLASSES).exactOptional(),
  never: z.string().exactOptional(),
  /** seconds since 1970 */
  created: z.int(),
  /** members of the response that the gateway knows and engines do not */
  shown: z.record(z.string(), z.json()),
  /** how long it is kept after its end, in ms */
  keptMs: z.number(),
  /** of what it was asked, if that is kept */
  inputBytes: z.number().exactOptional(),
  /** later requests may name its items */
  hasItems: z.boolean().exactOptional(),
  /** the trace of the request that began it */
  trace: TraceContext.exactOptional(),
  /** its end is a webhook event */
  webhook: z.literal(true).exactOptional(),
  /** a POST with an idempotency key began it; absent: a kept response */
  post: z
    .object({
      stream: z.boolean(),
      form: z.enum(['table', 'list']).exactOptional(),
      /** headers that each of its clients gets */
      headers: z.record(z.string(), z.string()),
      passUsage: z.boolean(),
      /** it is cancelled when it has had no reader for this long, in ms; null: never */
      graceMs: z.number().nullable(),
    })
    .exactOptional(),
});
export type KeptRequest = Readonly<z.infer<typeof KeptRequest>>;

/** @param shown see `KeptRequest` @param keptMs how long the answer is kept after its end, in ms */
export function keptRequest(
  asked: Asked,
  { trace }: Pick<Phases, 'trace'>,
  shown: KeptRequest['shown'],
  keptMs: number,
): KeptRequest {
  const { question, choices, messagesParam, longestAnswer, serviceTier, never, input, hasItems } = asked;
  const { model, kind, path, keyId, share, imageTokens, deadlineMs } = question;
  const { cost, weight, caps, class: granted, isOneOfMany } = share;
  return {
    model,
    kind,
    path,
    keyId,
    deadlineMs,
    choices,
    messagesParam,
    longestAnswer,
    share: { cost, weight, caps, class: granted, isOneOfMany },
    ...(imageTokens === undefined ? {} : { imageTokens }),
    ...(serviceTier === undefined ? {} : { serviceTier }),
    ...(never === undefined ? {} : { never }),
    ...(input === undefined ? {} : { inputBytes: input.length }),
    ...(hasItems === true ? { hasItems } : {}),
    ...(trace === undefined ? {} : { trace: trace.context }),
    created: Math.floor(Date.now() / 1_000),
    shown,
    keptMs,
  };
}

/** How long an answer may need its record at most, in ms. @param leftMs until its deadline */
export function lifeOf({ deadlineMs, keptMs }: KeptRequest, leftMs = deadlineMs): number {
  return Math.max(0, Math.ceil(leftMs)) + BODY_GRACE_MS + keptMs;
}

/** What a record tells that is written again. @param input if the gateway still has what the answer was asked */
export function keptAgain(kept: KeptRequest, input: readonly Buffer[] | undefined): KeptRequest {
  const { inputBytes, ...others } = kept;
  return inputBytes === undefined || input !== undefined ? kept : others;
}

/** The fields that all forms of an answer have in common. */
export function identityOf(id: string, { created, model, shown }: KeptRequest): Required<StreamIdentity> {
  return { id, created, model, shown };
}

const ToldFailure = z.object({
  code: z.string(),
  message: z.string(),
  status: z.int(),
  param: z.string().exactOptional(),
});

/** The failure of an answer as its record holds it. */
export function tellFailure({ code, message, status, options: { param } }: Failure): string {
  const told: z.input<typeof ToldFailure> = { code, message, status, ...(param === undefined ? {} : { param }) };
  return JSON.stringify(told);
}

/** Why an answer is not complete. */
export function failureOf({ state, answer }: AnswerRecord): Failure {
  if (state === 'cancelled') return new Failure('client_closed', 'the answer was cancelled');
  const told = answer === undefined || answer === '' ? undefined : ToldFailure.parse(JSON.parse(answer));
  if (told === undefined || !isFailureCode(told.code)) return new Failure('worker_lost', 'the answer was lost');
  const { code, message, ...options } = told;
  return new Failure(code, message, options);
}

/** A record as Redis holds it. */
export const AnswerRecord = z.object({
  /** id of the caller's key */
  key: z.string(),
  state: z.enum(ANSWER_STATES),
  /** the gateway that has it, and the number of its ownership */
  owner: z.string(),
  n: z.coerce.number(),
  epoch: z.coerce.number(),
  /** `<epoch>-<attempt>` of the attempt that has it */
  token: z.string().optional(),
  dispatcher: z.string().optional(),
  asked: z.string().transform((text) => KeptRequest.parse(JSON.parse(text))),
  /** the complete response as JSON, once it is over */
  answer: z.string().optional(),
});
export type AnswerRecord = Readonly<z.infer<typeof AnswerRecord>>;

/**
 * How an epoch follows the one before it. `restart`: the answer begins again, because no reader had any of it. `rest`:
 * `delivered` tokens of the answer are in its prompt. `close`: only the end was missing.
 */
export const Seam = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('again') }),
  z.object({ kind: z.literal('restart') }),
  z.object({ kind: z.literal('probe') }),
  z.object({ kind: z.literal('close'), ending: z.string() }),
  z.object({ kind: z.literal('rest'), delivered: z.int(), id: z.string(), created: z.number() }),
]);
export type Seam = Readonly<z.infer<typeof Seam>>;

/** The entry that ends a log. */
export const LogEnd = z.object({ state: z.enum(ANSWER_STATES) });
export type LogEnd = Readonly<z.infer<typeof LogEnd>>;
