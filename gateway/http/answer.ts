import type { Response } from 'express';
import type { ChatRequest, Usage } from '#contract/chat';
import { toFailure } from '#contract/failure';
import type { EnginePath } from '#contract/job';
import type { Clock } from '#runtime/clock';
import type { Ask, Question } from '../ask.ts';
import type { ByteBudget } from '../byte-budget.ts';
import { HeldBody } from '../held-body.ts';
import { ANYONE } from '../keys/caller.ts';
import type { Metrics } from '../metrics.ts';
import type { Prepare } from '../prepare.ts';
import { answerForm } from '../relay/answer-form.ts';
import { neverContinued } from '../relay/continuation.ts';
import { SentBytes } from '../relay/sent-bytes.ts';
import { send } from './error-middleware.ts';
import { requestContext, type RequestContext } from './request-context.ts';
import { RefusalProbe } from './refusal-probe.ts';
import { StreamReply } from './stream-reply.ts';
import { WholeReply } from './whole-reply.ts';

export interface AnswerDeps {
  readonly prepare: Prepare;
  readonly ask: Ask;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly keepAliveMs: number;
  readonly slowClientBytes: number;
  /** what the requests that wait may keep together */
  readonly bodies: ByteBudget;
  /** what all streams together, and one stream, may keep for a continuation */
  readonly budget: ByteBudget;
  readonly sentLimitBytes: number;
}
/** A checked request and what its answer needs to know of it; the caller's own objects are let go. */
interface Ready {
  readonly question: Question;
  readonly stream: boolean;
  readonly passUsage: boolean;
  readonly messagesParam: string;
  /** why a cut stream of it could never go on elsewhere */
  readonly never: string | undefined;
}

export interface Answer {
  /** @throws Failure of the card, of a picture, of the body */
  ready(res: Response, request: ChatRequest, timeoutMs: number): Promise<Ready>;
  /** Takes it to the end of its answer. @throws Failure for whatever happened before the first byte */
  deliver(res: Response, ready: Ready): Promise<void>;
}

const HEADER_SAFE = /^[\w.[\]-]{1,64}$/;

export function createAnswer(deps: AnswerDeps): Answer {
  return {
    ready: async (res, request, timeoutMs) => {
      const context = requestContext(res);
      noteRequest(context, request, res);
      const { caller, signal } = context;
      const { card, kind, path, body, images, cost } = await deps.prepare(request, caller, signal);
      context.model = card.name;
      Object.assign(context.fields, {
        kind,
        images: images.map(({ type, width, height }) => `${type} ${String(width)}x${String(height)}`),
      });
      const deadline = { deadlineMs: timeoutMs, deadlineAt: context.arrivedAt + timeoutMs };
      return {
        question: {
          model: card.name,
          kind,
          path,
          body: new HeldBody(deps.bodies, body),
          keyId: caller.id,
          ...(caller === ANYONE ? {} : { share: { cost, weight: caller.weight, caps: caller.caps } }),
          ...deadline,
        },
        stream: request.stream,
        passUsage: request.includeUsage,
        messagesParam: request.messagesParam,
        never: neverGoesOn(path, request),
      };
    },
    deliver: async (res, ready) => {
      const { phases } = requestContext(res);
      try {
        await (ready.stream ? answerStream(deps, res, ready) : answerWhole(deps, res, ready));
      } finally {
        const { enqueuedAt, claimedAt } = phases;
        if (enqueuedAt !== undefined && claimedAt !== undefined)
          deps.metrics.queueWait.observe({ kind: ready.question.kind }, Math.max(0, claimedAt - enqueuedAt) / 1_000);
      }
    },
  };
}

/** Why a cut stream can never go on elsewhere; undefined when it can. */
function neverGoesOn(path: EnginePath, { sampling, choices }: ChatRequest): string | undefined {
  if (path === '/v1/chat/completions') return neverContinued(sampling, choices);
  return path === '/v1/responses' ? 'responses' : 'not_chat';
}

async function answerWhole(deps: AnswerDeps, res: Response, { question, messagesParam }: Ready): Promise<void> {
  const context = requestContext(res);
  const form = answerForm(question.path);
  const reply = new WholeReply(form, messagesParam);
  await deps.ask(question, reply, context.phases, context.signal);
  noteUsage(deps, context, form.usage(reply.body));
  context.firstByteAt = deps.clock();
  send(res, context.dialect.renderAnswer(reply.body));
}

async function answerStream(deps: AnswerDeps, res: Response, ready: Ready): Promise<void> {
  const { clock, keepAliveMs, slowClientBytes } = deps;
  const context = requestContext(res);
  const reply = new StreamReply(res, {
    form: answerForm(ready.question.path),
    messagesParam: ready.messagesParam,
    passUsage: ready.passUsage,
    model: ready.question.model,
    sent: ready.never ?? new SentBytes(deps.budget, deps.sentLimitBytes),
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
    const asked = ready.question.path === '/v1/responses' ? new RefusalProbe(reply) : reply;
    await deps.ask(ready.question, asked, context.phases, context.signal);
    res.end();
  } catch (error) {
    // Once the headers are out, the end is told inside the stream, and no `[DONE]` follows.
    if (!res.headersSent) throw error;
    const failure = toFailure(error);
    Object.assign(context.fields, { failure: failure.code, cause: failure.cause ?? failure.message });
    res.end(context.dialect.renderStreamFailure(failure, reply.passed));
  } finally {
    reply.close();
    context.fields['bytes'] = reply.bytes;
    noteUsage(deps, context, reply.usage);
    noteTimes(deps, context, reply.usage);
  }
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
