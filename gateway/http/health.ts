import type { RequestHandler } from 'express';
import { ownVersion } from '#runtime/own-version';
import { sendPage, wantsPage, type ConsolePage } from './console/page.ts';
import type { Departure } from './departure.ts';
import { UNREAD_BY_NOBODY_MS } from './request-context.ts';
import { cutUnread } from './connection/unread-answer.ts';

export interface HealthDeps {
  readonly departure: Pick<Departure, 'turnAway'>;
  readonly readyEngines: () => number;
}

/**
 * `GET /health` and `/ping`, which clients of vLLM call before they send anything. They answer 200 if an engine can
 * answer, otherwise 503, both without a body and without a key. They are no probe for a cluster, because a cluster
 * could then never scale up from zero.
 */
export function engineHealth({ departure, readyEngines }: HealthDeps): RequestHandler {
  return (_req, res) => {
    departure.turnAway();
    cutUnread(res, () => UNREAD_BY_NOBODY_MS);
    res.status(readyEngines() > 0 ? 200 : 503).end();
  };
}

/** `GET /`: the console for a browser. Azure's probe gets the answer of Azure's containers, as every other client. */
export function root({ departure }: Pick<HealthDeps, 'departure'>, page: ConsolePage | undefined): RequestHandler {
  return (req, res) => {
    departure.turnAway();
    cutUnread(res, () => UNREAD_BY_NOBODY_MS);
    if (page !== undefined && wantsPage(req)) sendPage(res, page.html);
    else res.vary('accept').json('healthy');
  };
}

/** `GET /version` of the gateway, in vLLM's form. */
export const version: RequestHandler = (_req, res) => {
  res.json({ version: ownVersion });
};
