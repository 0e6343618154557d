import type { Response } from 'express';
import type { ChatRequest, Usage } from '#contract/chat';
import { toFailure } from '#contract/failure';
import type { Clock } from '#runtime/clock';
import type { Ask, Question } from '../ask.ts';
import type { Metrics } from '../metrics.ts';
import type { Prepare } from '../prepare.ts';
import { neverContinued } from '../relay/continuation.ts';
import { usageOfAnswer } from '../relay/engine-events.ts';
import { SentBytes, type ContinuationBudget } from '../relay/sent-bytes.ts';
import { send } from './error-middleware.ts';
import { requestContext, type RequestContext } from './request-context.ts';
import { StreamReply } from './stream-reply.ts';
import { WholeReply } from './whole-reply.ts';

export interface AnswerDeps {
  readonly prepare: Prepare;
  readonly ask: Ask;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly keepAliveMs: number;
  readonly slowClientBytes: number;
  /** what all streams together, and one stream, may keep for a continuation */
  readonly budget: ContinuationBudget;
  readonly sentLimitBytes: number;
}
/** Takes a parsed request to the end of its answer. @throws Failure for whatever happened before the first byte */
export type Answer = (res: Response, request: ChatRequest, timeoutMs: number) => Promise<void>;

const NO_KEY = 'anonymous';
const HEADER_SAFE = /^[\w.[\]-]{1,64}$/;

export function createAnswer(deps: AnswerDeps): Answer {
  return async (res, request, timeoutMs) => {
    const context = requestContext(res);
    noteRequest(context, request, res);
    const { card, kind, path, body, images } = await deps.prepare(request, NO_KEY, context.signal);
    context.model = card.name;
    Object.assign(context.fields, {
      kind,
      images: images.map(({ type, width, height }) => `${type} ${String(width)}x${String(height)}`),
    });
    const question: Question = {
      model: card.name,
      kind,
      path,
      body,
      keyId: NO_KEY,
      deadlineMs: timeoutMs,
      deadlineAt: context.arrivedAt + timeoutMs,
    };
    try {
      if (request.stream) await answerStream(deps, res, request, question);
      else await answerWhole(deps, res, request, question);
    } finally {
      const { enqueuedAt, claimedAt } = context.phases;
      if (enqueuedAt !== undefined && claimedAt !== undefined)
        deps.metrics.queueWait.observe({ kind }, Math.max(0, claimedAt - enqueuedAt) / 1_000);
    }
  };
}

async function answerWhole(deps: AnswerDeps, res: Response, request: ChatRequest, question: Question): Promise<void> {
  const context = requestContext(res);
  const reply = new WholeReply(request.messagesParam);
  await deps.ask(question, reply, context.phases, context.signal);
  noteUsage(deps, context, usageOfAnswer(reply.body));
  context.firstByteAt = deps.clock();
  send(res, context.dialect.renderAnswer(reply.body));
}

async function answerStream(deps: AnswerDeps, res: Response, request: ChatRequest, question: Question): Promise<void> {
  const { clock, keepAliveMs, slowClientBytes } = deps;
  const context = requestContext(res);
  const reply = new StreamReply(res, {
    messagesParam: request.messagesParam,
    passUsage: request.includeUsage,
    model: question.model,
    sent: whyNotContinued(request) ?? new SentBytes(deps.budget, deps.sentLimitBytes),
    onContinuation: (outcome) => {
      context.fields['continuation'] = outcome;
      deps.metrics.continuations.inc({ outcome });
    },
    keepAliveMs,
    slowClientBytes,
    clock,
    onFirstByte: () => {
      context.firstByteAt = clock();
    },
  });
  try {
    await deps.ask(question, reply, context.phases, context.signal);
    res.end();
  } catch (error) {
    // Once the headers are out, the end is told inside the stream, and no `[DONE]` follows.
    if (!res.headersSent) throw error;
    const failure = toFailure(error);
    Object.assign(context.fields, { failure: failure.code, cause: failure.cause ?? failure.message });
    res.end(context.dialect.renderStreamFailure(failure));
  } finally {
    reply.close();
    context.fields['bytes'] = reply.bytes;
    noteUsage(deps, context, reply.usage);
    noteTimes(deps, context, reply.usage);
  }
}

/** A bare prompt has no turn of an assistant to go on with. */
function whyNotContinued({ prompts, sampling, choices }: ChatRequest): string | undefined {
  return prompts === undefined ? neverContinued(sampling, choices) : 'prompt';
}

function noteRequest(context: RequestContext, request: ChatRequest, res: Response): void {
  const { stream, messages, ignored } = request;
  Object.assign(context.fields, { stream, turns: messages.length });
  const named = ignored.filter((name) => HEADER_SAFE.test(name)).slice(0, 20);
  if (named.length === 0) return;
  context.fields['ignored'] = named;
  res.setHeader('x-penstock-ignored', named.join(', '));
}

function noteUsage({ metrics }: AnswerDeps, context: RequestContext, usage: Usage | undefined): void {
  if (usage === undefined) return;
  Object.assign(context.fields, usage);
  const observe = (type: 'input' | 'output', tokens: number): void =>
    metrics.tokenUsage.observe({ gen_ai_request_model: context.model, gen_ai_token_type: type }, tokens);
  observe('input', usage.promptTokens);
  observe('output', usage.completionTokens);
}

function noteTimes({ metrics, clock }: AnswerDeps, context: RequestContext, usage: Usage | undefined): void {
  const { firstByteAt, model } = context;
  if (firstByteAt === undefined) return;
  const labels = { gen_ai_request_model: model };
  metrics.timeToFirstToken.observe(labels, (firstByteAt - context.arrivedAt) / 1_000);
  const tokensAfter = (usage?.completionTokens ?? 0) - 1;
  if (tokensAfter > 0) metrics.timePerOutputToken.observe(labels, (clock() - firstByteAt) / 1_000 / tokensAfter);
}
