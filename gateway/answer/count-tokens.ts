import { z } from 'zod';
import { HeldBody } from '../queue/held-body.ts';
import type { Ask } from './ask.ts';
import { engineAnswer } from './engine/answer.ts';
import { parseJson } from './engine/sse.ts';
import type { Question } from './question.ts';
import type { CountTokens } from './rest-request.ts';
import { WholeReply } from './whole-reply.ts';

/** Source: vLLM's `/tokenize`. */
const Counted = z.object({ count: z.int().nonnegative() });

/** Lets an engine count tokens for a running request: through the queue, within its deadline and for its caller. */
export function countTokensFor(question: Question, ask: Ask, signal: AbortSignal): CountTokens {
  return async (body) => {
    const reply = new WholeReply(engineAnswer('/tokenize', 1), 'messages');
    // The request was accepted before: it goes first, and no cap delays it.
    const { imageTokens: _booked, logBytes: _kept, ...unbooked } = question;
    const share = { ...question.share, cost: 0, caps: {}, goesFirst: true } as const;
    const counting: Question = { ...unbooked, share, kind: 'text', path: '/tokenize', body: new HeldBody([body]) };
    try {
      await ask(counting, reply, { requestId: '', repeats: 0 }, signal);
      return Counted.parse(parseJson(reply.outline)).count;
    } catch {
      // The further epoch will fail for the same reason, if it persists.
      return undefined;
    }
  };
}
