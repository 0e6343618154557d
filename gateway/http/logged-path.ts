import type { Request } from 'express';

/** What a log line holds of a path that no route has, or of the name of a field. */
export const LOGGED_CHARACTERS = 100;

/** The route's pattern: what a caller writes into a path may be a name, or a whole prompt. */
export function loggedPath(req: Request): string {
  const route: unknown = req.route;
  const pattern = typeof route === 'object' && route !== null && 'path' in route ? route.path : undefined;
  return typeof pattern === 'string' ? pattern : req.path.slice(0, LOGGED_CHARACTERS);
}
