import type { VNode } from 'preact';
import { FactsList } from './facts-list.tsx';
import { duration, whole } from './format.ts';
import type { Refusal } from './refusal.ts';

/** Why there is no answer: the sentence, its rule and its numbers, and when to come again. */
export function RefusalBox({ refusal, title = 'Refused' }: { refusal: Refusal; title?: string }): VNode {
  const { message, status, code, param, asked, allowed, card, reason, retryAfterSeconds, requestId } = refusal;
  const facts: [string, string | undefined][] = [
    ['code', code],
    ['field', param],
    ['asked', asked === undefined ? undefined : whole(asked)],
    ['allowed', allowed === undefined ? undefined : whole(allowed)],
    ['rule of', card],
    ['reason', reason],
    ['try again in', retryAfterSeconds === undefined ? undefined : duration(retryAfterSeconds * 1_000)],
    ['status', status === 0 ? undefined : String(status)],
    ['request', requestId],
  ];
  return (
    <div class="refusal" role="alert">
      <p>
        <strong>{status === 0 ? 'No answer' : title}:</strong> {message}
      </p>
      <FactsList facts={facts} />
    </div>
  );
}
