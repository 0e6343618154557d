import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import type { GuardedHost } from './guarded-host.ts';
import { Unchecked, type Content, type Provider } from './provider.ts';

/** What the operator's service answers with status 200. */
const Answer = z.object({
  blocked: z.boolean(),
  categories: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_]{0,63}$/),
      z.object({ filtered: z.boolean(), severity: z.enum(['safe', 'low', 'medium', 'high']).optional() }),
    )
    .refine((all) => Object.keys(all).length <= 32)
    .default({}),
});

export interface WebhookProviderOptions {
  readonly url: URL;
  /** signs each question, as in Standard Webhooks; absent: they are not signed */
  readonly secret: string | undefined;
  readonly host: GuardedHost;
}

/** A service of the operator. It gets everything that belongs to one prompt or answer in one question. */
export function createWebhookProvider({ url, secret, host }: WebhookProviderOptions): Provider {
  const signer = secret === undefined ? undefined : new Webhook(secret);
  return {
    questions: (content) => [content],
    check: async (question, signal) => {
      const [id, now, body] = [`chk_${randomUUID()}`, new Date(), bodyOf(question)];
      const signed =
        signer === undefined
          ? {}
          : {
              'webhook-id': id,
              'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
              'webhook-signature': signer.sign(id, now, body),
            };
      const headers = { 'content-type': 'application/json', 'user-agent': 'penstock', ...signed };
      const { status, body: said } = await host.post(url, headers, body, signal);
      if (status !== 200) throw new Unchecked('refused', `status ${status}`);
      const answer = Answer.safeParse(parse(said));
      if (!answer.success) throw new Unchecked('malformed', 'an answer that is no verdict');
      const { blocked, categories } = answer.data;
      return { isBlocked: blocked, results: categories };
    },
  };
}

function bodyOf({ direction, model, texts, pictures }: Content): string {
  const images = pictures.map(({ mediaType, base64 }) => ({ media_type: mediaType, data: base64.toString('latin1') }));
  return JSON.stringify({ object: 'content_check', direction, model, texts, images });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
