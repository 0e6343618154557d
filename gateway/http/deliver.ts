import type { Response } from 'express';
import type { AnswerForm, ChatRequest, StreamIdentity, Usage } from '../request/chat.ts';
import { toFailure } from '../failure.ts';
import type { EnginePath } from '#contract/job';
import { specialTokenPattern } from '#contract/special-tokens';
import type { Clock } from '#runtime/clock';
import type { Ask, Question } from '../answer/ask.ts';
import type { ByteBudget } from '../answer/byte-budget.ts';
import { HeldBody } from '../queue/held-body.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';
import { ANYONE } from '../keys/caller.ts';
import type { Metrics } from '../metrics.ts';
import type { Prepare } from '../request/prepare.ts';
import { neverContinued } from '../answer/continuation.ts';
import { EmptyEvents } from '../answer/empty-events.ts';
import { engineAnswer } from '../answer/engine/answer.ts';
import { SentBytes } from '../answer/sent-bytes.ts';
import { countTokensFor } from '../answer/count-tokens.ts';
import { send } from './error-middleware.ts';
import { requestContext, type RequestContext } from './request-context.ts';
import { RefusalProbe } from '../answer/refusal-probe.ts';
import { StreamReply, type StreamReplyOptions } from '../answer/stream-reply.ts';
import { WholeReply } from '../answer/whole-reply.ts';

export interface AnswerDeps {
  readonly prepare: Prepare;
  readonly ask: Ask;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly keepAliveMs: number;
  readonly slowClientBytes: number;
  /** what all streams together, and one stream, may keep for a continuation */
  readonly budget: ByteBudget;
  readonly sentLimitBytes: number;
}
/** A checked request and what its answer needs to know of it; the caller's own objects are let go. */
interface Ready {
  readonly question: Question;
  readonly stream: boolean;
  readonly passUsage: boolean;
  /** number of choices that make the answer: each prompt has its own */
  readonly choices: number;
  readonly messagesParam: string;
  readonly form: AnswerForm | undefined;
  /** of the model */
  readonly specialTokens: RegExp;
  /** why a cut stream of it could never go on elsewhere */
  readonly never: string | undefined;
}

export interface Answer {
  /**
   * @param pictures what the request's body held back of its pictures
   * @throws Failure of the card, of a picture, of the body
   */
  ready(res: Response, request: ChatRequest, pictures: PictureBytes, timeoutMs: number): Promise<Ready>;
  /** Takes it to the end of its answer. @throws Failure for whatever happened before the first byte */
  deliver(res: Response, ready: Ready): Promise<void>;
}

/** A client that does not read its error event is cut off after this, in milliseconds. */
const CUT_MS = 10_000;
const HEADER_SAFE = /^[\w.[\]-]{1,64}$/;

export function createAnswer(deps: AnswerDeps): Answer {
  return {
    ready: async (res, request, pictures, timeoutMs) => {
      const context = requestContext(res);
      noteRequest(context, request, res);
      const { caller, signal } = context;
      const { card, kind, path, body, images, cost } = await deps.prepare(request, pictures, caller, signal);
      context.model = card.name;
      Object.assign(context.fields, {
        kind,
        images: images.map(({ type, width, height }) => `${type} ${String(width)}x${String(height)}`),
      });
      return {
        question: {
          model: card.name,
          kind,
          path,
          body: new HeldBody(body, context.memory),
          keyId: caller.id,
          ...(caller === ANYONE ? {} : { share: { cost, weight: caller.weight, caps: caller.caps } }),
          deadlineMs: timeoutMs,
          deadlineAt: context.arrivedAt + timeoutMs,
        },
        stream: request.stream,
        passUsage: request.includeUsage,
        choices: request.choices * (request.prompts?.length ?? 1),
        messagesParam: request.messagesParam,
        form: request.answerForm,
        specialTokens: specialTokenPattern(card.tokens.special.texts),
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

async function answerWhole(deps: AnswerDeps, res: Response, ready: Ready): Promise<void> {
  const { question, choices, messagesParam, form } = ready;
  const context = requestContext(res);
  const answer = engineAnswer(question.path, choices);
  const reply = new WholeReply(answer, messagesParam);
  await deps.ask(question, reply, context.phases, context.signal);
  noteUsage(deps, context, answer.usage(reply.outline));
  context.firstByteAt = deps.clock();
  const modelMs = deps.clock() - (context.phases.enqueuedAt ?? context.arrivedAt);
  send(res, context.dialect.renderAnswer(reply.body, { modelMs, ...(form === undefined ? {} : { form }) }));
}

async function answerStream(deps: AnswerDeps, res: Response, ready: Ready): Promise<void> {
  const { clock, keepAliveMs, slowClientBytes } = deps;
  const context = requestContext(res);
  const reply = new StreamReply(res, {
    answer: engineAnswer(ready.question.path, ready.choices),
    messagesParam: ready.messagesParam,
    passUsage: ready.passUsage,
    model: ready.question.model,
    sent: ready.never ?? new SentBytes(deps.budget, deps.sentLimitBytes),
    onContinuation: (outcome) => {
      context.fields['continuation'] = outcome;
      deps.metrics.continuations.inc({ outcome });
    },
    specialTokens: ready.specialTokens,
    countTokens: countTokensFor(ready.question, deps.ask, context.signal),
    keepAliveMs,
    ...emptyEvents(context, ready.question),
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
    if (!res.headersSent) throw error;
    const failure = toFailure(error);
    Object.assign(context.fields, { failure: failure.code, cause: failure.cause });
    endBroken(res, context, context.dialect.renderStreamFailure(failure, reply.passed));
  } finally {
    reply.close();
    context.fields['bytes'] = reply.bytes;
    noteUsage(deps, context, reply.usage);
    noteTimes(deps, context, reply.usage);
  }
}

/** What keeps the stream of a client open that reads no comments. */
function emptyEvents({ dialect, phases }: RequestContext, { model, path }: Question): Partial<StreamReplyOptions> {
  if (dialect.emptyEvent === undefined) return {};
  const prefix = path === '/v1/completions' ? 'cmpl' : 'chatcmpl';
  const newIdentity = (): StreamIdentity => ({
    id: `${prefix}-${phases.requestId}`,
    created: Math.floor(Date.now() / 1_000),
    model,
  });
  return { emptyEvents: new EmptyEvents(dialect.emptyEvent, newIdentity) };
}

/** The end of a stream that is not whole is told in it, and no `[DONE]` follows. */
function endBroken(res: Response, context: RequestContext, event: string): void {
  if (context.dialect.cutsBrokenStreams !== true) {
    res.end(event);
    return;
  }
  context.isCut = true;
  const cut = (): void => void res.destroy();
  res.write(event, cut);
  setTimeout(cut, CUT_MS).unref();
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
