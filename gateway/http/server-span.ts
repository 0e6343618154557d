import type { Request } from 'express';
import { PROVIDER } from '#contract/operation';
import { readTraceContext } from '#contract/trace';
import type { OpenSpan, Tracing } from '#runtime/tracing';
import type { Phases } from '../answer/notes.ts';
import { RequestTrace } from '../answer/request-trace.ts';
import { routePattern } from './logged-path.ts';

/** A request that ended, as its context has it. */
interface Ended {
  readonly phases: Phases;
  /** of its log line */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly operation: string;
  readonly isCut?: boolean;
}

/**
 * Begins the gateway's span of a request, below the caller's. Without a recorder the caller's context is handed on as
 * it is, so that an engine's own traces belong to it.
 * @returns undefined without a recorder
 */
export function beginServerSpan(
  tracing: Tracing | undefined,
  req: Request,
  phases: Phases,
  arrivedAt: number,
): OpenSpan | undefined {
  const { traceparent, tracestate } = req.headers;
  // A bad header begins a new trace, as W3C Trace Context wants: it is no failure of the request.
  const parent = traceparent === undefined ? undefined : readTraceContext(traceparent, tracestate);
  const route = routePattern(req);
  const span = tracing?.start(route === undefined ? req.method : `${req.method} ${route}`, {
    kind: 'server',
    parent,
    at: arrivedAt,
    attributes: { 'http.request.method': req.method, 'http.route': route, 'url.scheme': req.protocol },
  });
  const context = span ?? parent;
  if (context !== undefined) phases.trace = new RequestTrace(tracing, context);
  return span;
}

/**
 * Ends it. It tells nothing of the request's words, and no path that the caller wrote.
 * @param failure the outcome of the log line, unless it is `answered` @param endedAt clock of this process, ms
 */
export function endServerSpan(
  span: OpenSpan,
  { phases, fields, model, operation, isCut }: Ended,
  {
    status,
    failure,
    endedAt,
  }: { readonly status: number; readonly failure: string | undefined; readonly endedAt: number },
): void {
  const { claimedAt, firstByteAt, requestId, repeats } = phases;
  if (claimedAt !== undefined) span.event('claimed', claimedAt);
  if (firstByteAt !== undefined) span.event('first byte', firstByteAt);
  span.set({
    'http.response.status_code': status,
    'penstock.request_id': requestId === '' ? undefined : requestId,
    'penstock.repeats': repeats,
  });
  if (model !== 'unknown')
    span.set({
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.request.model': model,
      'gen_ai.usage.input_tokens': numberOf(fields['promptTokens']),
      'gen_ai.usage.output_tokens': numberOf(fields['completionTokens']),
    });
  // Source: OpenTelemetry's HTTP conventions: a caller's mistake is no error of the server.
  span.end(failure, status >= 500 || isCut === true || (status < 400 && failure !== 'client_closed'), endedAt);
}

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
