import { Router } from 'express';
import { z } from 'zod';
import type { Audit } from '#runtime/audit';
import { Failure, isFailure } from '../failure.ts';
import { EVENT_STATES } from '../webhooks/event-queue.ts';
import type { WebhookEvents } from '../webhooks/webhooks.ts';
import { administrative, answered, idOf, readQuery } from './internal-route.ts';

/** The query of `/webhooks`. */
const Query = z.strictObject({ key: z.string().optional(), state: z.enum(EVENT_STATES).optional() });

/**
 * Webhook events for operators: `GET /webhooks`, and `POST /webhooks/{id}/redeliver`, which works only from this machine.
 */
export function internalWebhooks(webhooks: WebhookEvents, audit: Audit): Router {
  const router = Router();
  router.get(
    '/webhooks',
    answered(async ({ query }) => ({ events: await webhooks.list(readQuery(Query, query)).catch(unread) })),
  );
  router.post(
    '/webhooks/:id/redeliver',
    administrative(audit, 'webhook.redelivered', ({ params }) => webhooks.redeliver(idOf(params)).catch(unread)),
  );
  return router;
}

/** @throws Failure `queue_unavailable` for an error of Redis */
function unread(cause: unknown): never {
  if (isFailure(cause)) throw cause;
  throw new Failure('queue_unavailable', 'Redis does not tell about webhook events at the moment; try again', {
    cause,
  });
}
