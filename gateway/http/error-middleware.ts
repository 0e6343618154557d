import type { ErrorRequestHandler, Request, Response } from 'express';
import { Failure, isFailure, rowOf, toFailure } from '../failure.ts';
import type { Log } from '#runtime/log';
import type { Dialect, Rendered } from '../dialects/dialect.ts';
import type { Metrics } from '../metrics.ts';
import { LOGGED_CHARACTERS, loggedPath } from './logged-path.ts';
import { requestContext } from './request-context.ts';

/**
 * The only place that turns a failure before the first byte into an answer, in the caller's dialect.
 * @param pageOf the page that a browser gets in its place, if there is one
 */
export function errorMiddleware(
  fallback: Dialect,
  metrics: Metrics,
  log: Log,
  pageOf: (req: Request, failure: Failure) => Rendered | undefined = () => undefined,
): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const failure = isFailure(error) ? error : (pathFailure(error) ?? toFailure(error));
    const context = contextOf(res);
    const row = rowOf(failure.code);
    const rule = failure.options.param?.slice(0, LOGGED_CHARACTERS);
    if (context !== undefined) Object.assign(context.fields, { failure: failure.code, rule });
    if (context?.phases.requestId === '' || context === undefined) metrics.refusals.inc({ rule: failure.code });
    if (failure.cause !== undefined || row.log === 'error')
      log[row.log]({ failure: failure.code, path: loggedPath(req), cause: failure.cause }, 'request failed');
    if (res.destroyed || res.headersSent) return;
    const requestId = res.getHeader('x-request-id');
    const told = typeof requestId === 'string' ? requestId : undefined;
    const dialect = context?.dialect ?? fallback;
    const broken = (cause: unknown): void => {
      // An error here must not reach express, whose error page shows the stack.
      log.error({ failure: 'internal', path: loggedPath(req), cause }, 'a failure that could not be sent');
      if (res.headersSent) return void res.destroy();
      write(res, dialect.renderFailure(new Failure('internal', 'internal error'), told));
    };
    // Another replica may reach Redis: on a new connection the caller's balancer can choose it.
    if (failure.code === 'queue_unavailable') res.setHeader('connection', 'close');
    try {
      send(res, pageOf(req, failure) ?? dialect.renderFailure(failure, told), failure, broken);
    } catch (cause) {
      broken(cause);
    }
  };
}

/**
 * @param failure the failure that the answer reports, if any
 * @param onBroken gets an error that is thrown after this has returned
 */
export function send(
  res: Response,
  answer: Rendered,
  failure?: Failure,
  onBroken: (cause: unknown) => void = () => res.destroy(),
): void {
  const settle = contextOf(res)?.beforeAnswer;
  if (settle === undefined) write(res, answer);
  else
    void settle(answer, failure)
      .finally(() => write(res, answer))
      .catch(onBroken);
}

function write(res: Response, { status, headers, body }: Rendered): void {
  res.status(status);
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  res.end(body);
}

function contextOf(res: Response) {
  try {
    return requestContext(res);
  } catch {
    return undefined;
  }
}

/** express throws it for a path such as `/%ff`. */
function pathFailure(error: unknown): Failure | undefined {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'URIError'
    ? new Failure('route_not_found', 'the path is not well encoded')
    : undefined;
}
