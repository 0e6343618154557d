import { factsOf } from '../durable/answer-facts.ts';
import { Router } from 'express';
import { z } from 'zod';
import { ANSWER_STATES } from '#contract/answer-log';
import type { Audit } from '#runtime/audit';
import type { Kept } from '../durable/kept-answers.ts';
import { administrative, answered, idOf, readQuery } from './internal-route.ts';

/** The query of `/answers`. */
const Query = z.strictObject({
  key: z.string().optional(),
  model: z.string().optional(),
  state: z.enum(ANSWER_STATES).optional(),
});

/**
 * Kept answers for operators, without a word of them: `GET /answers`, `GET`, `DELETE /answers/{id}`, `POST
 * /answers/{id}/cancel`. The last two only from this machine, because the port asks for no key.
 */
export function internalAnswers(kept: Kept, audit: Audit): Router {
  const router = Router();
  router.get(
    '/answers',
    answered(async ({ query }) => ({ answers: await kept.list(readQuery(Query, query)) })),
  );
  router.get(
    '/answers/:id',
    answered(async ({ params }) => factsOf(await kept.find(idOf(params)))),
  );
  router.post(
    '/answers/:id/cancel',
    administrative(audit, 'answer.cancelled', async ({ params }) => {
      const found = await kept.find(idOf(params));
      await kept.stop(found);
      return factsOf(await kept.find(found.id));
    }),
  );
  router.delete(
    '/answers/:id',
    administrative(audit, 'answer.deleted', async ({ params }) => {
      const { id, record } = await kept.find(idOf(params));
      await kept.remove({ id, record });
      return { id, deleted: true };
    }),
  );
  return router;
}
