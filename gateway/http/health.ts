import { createRequire } from 'node:module';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Departure } from './departure.ts';
import { UNREAD_BY_NOBODY_MS } from './request-context.ts';
import { cutUnread } from './connection/unread-answer.ts';

export interface HealthDeps {
  readonly departure: Pick<Departure, 'turnAway'>;
  readonly readyEngines: () => number;
}

/**
 * `GET /health` and `/ping` as clients of vLLM ask before they send anything: 200 where an engine can answer, else 503,
 * both without a body and without a key. No probe for a cluster, where nothing could then be scaled up from zero.
 */
export function engineHealth({ departure, readyEngines }: HealthDeps): RequestHandler {
  return (_req, res) => {
    departure.turnAway();
    cutUnread(res, () => UNREAD_BY_NOBODY_MS);
    res.status(readyEngines() > 0 ? 200 : 503).end();
  };
}

const { version: own } = z.object({ version: z.string() }).parse(createRequire(import.meta.url)('#package.json'));

/** `GET /version`, in the form that vLLM has, of the gateway. */
export const version: RequestHandler = (_req, res) => {
  res.json({ version: own });
};
