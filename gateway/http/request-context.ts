import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { RequestHandler, Response } from 'express';
import { Failure } from '../failure.ts';
import type { Clock } from '#runtime/clock';
import type { Audit } from '#runtime/audit';
import type { Log } from '#runtime/log';
import type { Tracing } from '#runtime/tracing';
import type { Dialect, Rendered } from '../dialects/dialect.ts';
import type { Phases } from '../answer/notes.ts';
import type { Departure } from './departure.ts';
import { UNCOUNTED, type Allowance } from '../intake/body-memory.ts';
import { NOBODY, type Caller } from '../keys/caller.ts';
import type { DurableRef, Turn } from '../queue/idempotency.ts';
import type { Metrics } from '../metrics.ts';
import type { RecentRequests } from './console/recent-requests.ts';
import { noteUse, type UsedBy } from './used-by.ts';
import { loggedPath } from './logged-path.ts';
import { beginServerSpan, endServerSpan } from './server-span.ts';
import { cutUnread } from './connection/unread-answer.ts';

const ID_LIMIT = 100;
/** How long a client may take to read an ended answer, in milliseconds: as long as the SDKs wait. */
const UNREAD_LIMIT_MS = 600_000;
/** The same for a caller without a valid key. */
export const UNREAD_BY_NOBODY_MS = 30_000;

/** State of one HTTP request: its end, its deadline, and the fields of its log line. */
export interface RequestContext {
  /** fires if the client left before its answer was complete; its reason is a Failure `client_closed` */
  readonly signal: AbortSignal;
  /** instant of its first byte, exact to one second, in ms of this process's clock */
  readonly arrivedAt: number;
  readonly dialect: Dialect;
  readonly phases: Phases;
  /** fields of the request's one log line */
  readonly fields: Record<string, unknown>;
  /** the caller, after its key was found valid */
  caller: Caller;
  /** memory of this replica that its body and its pictures use */
  memory: Allowance;
  /** name of the card, when it is known */
  model: string;
  /** `gen_ai.operation.name`, when the model is known */
  operation: string;
  /** the deployment in the path or header: its card, or any card that the caller has; it overrides the body */
  chosen?: { readonly model?: string };
  /** the gateway ended the answer by cutting its connection */
  isCut?: boolean;
  /** the answer goes on when the client has left */
  goesOn?: boolean;
  /** it is the first request with its idempotency key */
  turn?: Turn;
  /** the answer of an earlier request with its idempotency key */
  earlier?: DurableRef;
  /** runs before a complete answer is written; streams do not call it */
  beforeAnswer?: (answer: Rendered, failure: Failure | undefined) => Promise<void>;
}

const contexts = new WeakMap<Response, RequestContext>();

/** @throws Error on a route without a context, which is a mistake in the list of routes */
export function requestContext(res: Response): RequestContext {
  const context = contexts.get(res);
  if (context === undefined) throw new Error('no request context');
  return context;
}

export interface ContextDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
  readonly metrics: Metrics;
  readonly departure: Pick<Departure, 'stage' | 'turnAway'>;
  readonly usage: UsedBy;
  /** absent: requests of this port are not remembered */
  readonly recent?: Pick<RecentRequests, 'add'>;
  /** records a span of each request; absent: none */
  readonly tracing?: Tracing | undefined;
  /** when the request on a connection began, if that was noticed before its head was complete */
  readonly begunAt: (socket: Socket) => number | undefined;
}

/**
 * First stage of every API route: ids in and out, disconnects, metrics and the one log line at the end.
 * @throws Failure `header_too_long`, `shutting_down`
 */
export function withContext(dialect: Dialect, deps: ContextDeps): RequestHandler {
  const { clock, log, audit, metrics, departure, recent, begunAt } = deps;
  return (req, res, next) => {
    const arrivedAt = begunAt(req.socket) ?? clock();
    const gone = new AbortController();
    const fields: Record<string, unknown> = {};
    const phases: Phases = { requestId: '', repeats: 0 };
    // A live view stays open as long as its page does.
    const isConsole = dialect.name === 'console';
    const span = isConsole ? undefined : beginServerSpan(deps.tracing, req, phases, arrivedAt);
    const known = { caller: NOBODY, memory: UNCOUNTED, model: 'unknown', operation: 'unknown' };
    const context: RequestContext = { signal: gone.signal, arrivedAt, dialect, phases, fields, ...known };
    contexts.set(res, context);
    metrics.inFlight.inc({ dialect: dialect.name });
    cutUnread(res, () => (context.caller === NOBODY ? UNREAD_BY_NOBODY_MS : UNREAD_LIMIT_MS));
    res.once('close', () => {
      // A Failure, because a stage that throws the signal's reason ends the request with it.
      if (!res.writableFinished) gone.abort(new Failure('client_closed', 'the client closed the connection'));
      const isOurs = res.writableFinished || context.isCut === true;
      const endedAt = clock();
      const status = res.headersSent ? res.statusCode : 499;
      metrics.inFlight.dec({ dialect: dialect.name });
      const outcome = isOurs ? (fields['failure'] ?? 'answered') : 'client_closed';
      const failure = typeof outcome === 'string' && outcome !== 'answered' ? outcome : undefined;
      const { model, operation } = context;
      const labels = { operation, model, dialect: dialect.name, status: String(status) };
      if (!isConsole) metrics.generation.ended(labels, (endedAt - arrivedAt) / 1_000, failure);
      const since = (at: number | undefined): number | undefined =>
        at === undefined ? undefined : Math.round(at - arrivedAt);
      noteUse(deps, context);
      const facts = {
        dialect: dialect.name,
        method: req.method,
        path: loggedPath(req),
        status,
        outcome,
        requestId: phases.requestId,
        callerRequestId: res.getHeader('x-request-id'),
        keyId: context.caller.id,
        model,
      };
      const { promptTokens, completionTokens } = fields;
      if (span !== undefined) endServerSpan(span, context, { status, failure, endedAt });
      audit.request({ ...facts, promptTokens, completionTokens, totalMs: since(endedAt) });
      const line = {
        ...facts,
        ...fields,
        ...(phases.repeats > 0 ? { repeats: phases.repeats } : {}),
        promptCheckMs: rounded(phases.promptCheckMs),
        answerCheckMs: rounded(phases.answerCheckMs),
        enqueuedMs: since(phases.enqueuedAt),
        estimateMs: phases.estimateMs,
        claimedMs: since(phases.claimedAt),
        firstByteMs: since(phases.firstByteAt),
        totalMs: since(endedAt),
        traceId: phases.trace?.traceId,
      };
      log.info(line, 'request');
      recent?.add(line);
    });
    for (const [name, value] of Object.entries(dialect.headers ?? {})) res.setHeader(name, value);
    echoIds(req.headers, res);
    if (dialect.requestIdHeader !== undefined)
      res.setHeader(dialect.requestIdHeader, String(res.getHeader('x-request-id')));
    departure.turnAway();
    next();
  };
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms);
}

/**
 * Request ids as Azure's inference server echoes them (azureml-inference-server-http, `docs/AzureMLInferenceServer.md`).
 * @throws Failure `header_too_long` above 100 characters
 */
function echoIds(headers: Record<string, string | string[] | undefined>, res: Response): void {
  const given = (name: string): string | undefined => {
    const value = headers[name];
    if (typeof value !== 'string' || value === '') return undefined;
    if (value.length > ID_LIMIT)
      throw new Failure('header_too_long', `${name} is longer than ${ID_LIMIT} characters`, { param: name });
    return value;
  };
  res.setHeader('x-request-id', randomUUID());
  const requestId = given('x-request-id');
  if (requestId !== undefined) res.setHeader('x-request-id', requestId);
  const legacy = given('x-ms-request-id');
  const client = given('x-ms-client-request-id') ?? legacy;
  res.setHeader('x-ms-request-id', legacy ?? client ?? String(res.getHeader('x-request-id')));
  if (client !== undefined) res.setHeader('x-ms-client-request-id', client);
}
