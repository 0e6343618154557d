import type { Request } from 'express';

/** Limit for an unknown path or field name in a log line, in characters. */
export const LOGGED_CHARACTERS = 100;

/** The route's pattern, because a caller's path may hold a name or an entire prompt. */
export function loggedPath(req: Request): string {
  return routePattern(req) ?? req.path.slice(0, LOGGED_CHARACTERS);
}

/** @returns undefined if no route takes the path */
export function routePattern(req: Request): string | undefined {
  const route: unknown = req.route;
  const pattern = typeof route === 'object' && route !== null && 'path' in route ? route.path : undefined;
  return typeof pattern === 'string' ? pattern : undefined;
}
