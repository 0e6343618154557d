import type { Response } from 'express';
import type { ChatRequest, Usage } from '../request/chat.ts';
import type { Clock } from '#runtime/clock';
import type { Kind } from '#contract/job';
import { OPERATIONS } from '#contract/operation';
import type { Notes, Phases } from '../answer/notes.ts';
import type { Metrics } from '../metrics.ts';
import { askedNumbers } from '../request/asked-numbers.ts';
import type { Prepared } from '../request/prepare.ts';
import { requestContext, type RequestContext } from './request-context.ts';

export interface NotesDeps {
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** Limit for this header, in characters: many clients accept at most 16 kB of headers. */
const LONGEST_HEADER = 2_048;

/** Adds a parsed request to the log line and to a header. */
export function noteRequest(res: Response, request: ChatRequest): void {
  const { stream, messages, ignored } = request;
  const { fields, phases } = requestContext(res);
  if (phases.trace?.isRecorded === true) phases.trace.asks(askedNumbers(request));
  Object.assign(fields, { stream, turns: messages.length });
  if (ignored.length === 0) return;
  fields['ignored'] = ignored.slice(0, 20);
  let told = '';
  for (const name of ignored.slice(0, 20)) {
    // A header is ASCII: other characters are percent-encoded, as `shortName` already does with all except letters and
    // digits.
    const next = (told === '' ? '' : ', ') + name.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
    if (told.length + next.length <= LONGEST_HEADER) told += next;
  }
  res.setHeader('x-penstock-ignored', told);
}

/** Adds a request that passed its card's rules to the log line and the metrics, and its class of service to a header. */
export function notePrepared(res: Response, { card, kind, path, images, serviceTier }: Prepared): void {
  const context = requestContext(res);
  context.model = card.name;
  context.operation = OPERATIONS[path];
  if (serviceTier !== undefined) {
    context.fields['serviceTier'] = serviceTier;
    res.setHeader('x-penstock-service-tier', serviceTier);
  }
  Object.assign(context.fields, {
    kind,
    images: images.map(({ type, width, height }) => `${type} ${width}x${height}`),
  });
}

/** Adds how long it waited, and how long it was expected to, however it ended. */
export function noteWait(
  { metrics }: Pick<NotesDeps, 'metrics'>,
  { phases }: Pick<RequestContext, 'phases'>,
  kind: Kind,
): void {
  const { enqueuedAt, claimedAt, estimateMs } = phases;
  if (enqueuedAt === undefined || claimedAt === undefined) return;
  const realMs = Math.max(0, claimedAt - enqueuedAt);
  const { real, told, error } = metrics.queueWait;
  real.observe({ kind }, realMs / 1_000);
  if (estimateMs === undefined) return;
  told.observe({ kind }, estimateMs / 1_000);
  error.observe({ kind }, Math.abs(realMs - estimateMs) / 1_000);
}

/**
 * Headers that tell how long an answered request waited in the queue; none before it was taken.
 * @param endedAt when its complete answer is there (clock of this process, ms); absent: it is a stream
 */
export function waitHeaders({ enqueuedAt, claimedAt }: Phases, endedAt?: number): Record<string, string> {
  if (enqueuedAt === undefined || claimedAt === undefined) return {};
  const ms = (from: number, to: number): string => String(Math.max(0, Math.round(to - from)));
  const waited = ms(enqueuedAt, claimedAt);
  const engine = endedAt === undefined ? '' : `, engine;dur=${ms(claimedAt, endedAt)}`;
  return { 'x-penstock-queue-wait-ms': waited, 'server-timing': `queue;dur=${waited}${engine}` };
}

/** Adds its answer to the log line and the metrics. */
export function answerNotes({ metrics, clock }: NotesDeps, context: RequestContext): Notes {
  const { fields, phases, arrivedAt } = context;
  const whole = (usage: Usage | undefined): void => {
    if (usage === undefined) return;
    Object.assign(fields, usage);
    metrics.generation.used(context, 'input', usage.promptTokens);
    metrics.generation.used(context, 'output', usage.completionTokens);
    const ofKey = { key: metrics.labelOf(context.caller.id), gen_ai_request_model: context.model };
    metrics.byKey?.tokens.inc({ ...ofKey, gen_ai_token_type: 'input' }, usage.promptTokens);
    metrics.byKey?.tokens.inc({ ...ofKey, gen_ai_token_type: 'output' }, usage.completionTokens);
  };
  const times = (usage: Usage | undefined): void => {
    const { firstByteAt } = phases;
    if (firstByteAt === undefined) return;
    metrics.generation.begun(context, (firstByteAt - arrivedAt) / 1_000);
    const tokensAfter = (usage?.completionTokens ?? 0) - 1;
    if (tokensAfter > 0) metrics.generation.paced(context, (clock() - firstByteAt) / 1_000 / tokensAfter);
  };
  return {
    phases,
    whole,
    continuation: (outcome) => {
      fields['continuation'] = outcome;
      metrics.continuations.inc({ outcome });
    },
    broken: ({ code, cause }) => void Object.assign(fields, { failure: code, cause }),
    streamed: (bytes, usage) => {
      fields['bytes'] = bytes;
      whole(usage);
      times(usage);
    },
  };
}
