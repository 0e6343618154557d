import type { Response } from 'express';
import type { Usage } from '../request/chat.ts';
import { UNIT_TOKENS } from '../request/cost.ts';
import { toFailure, type Failure } from '../failure.ts';
import type { Notes } from '../answer/notes.ts';
import type { Asked } from '../answer/question.ts';
import type { Limits } from '../limits/limits.ts';
import { limitHeaders } from './limit-headers.ts';
import { requestContext } from './request-context.ts';

/**
 * Runs a request within the limits of its key: counts its estimate before, and what it used after. A key without limits
 * costs nothing. An answer without the engine's count costs nothing if Penstock failed it. If its client left, a stream
 * costs what had arrived and any other answer its estimate, because engines worked on it.
 * @throws Failure `rate_limit_exceeded`, `queue_unavailable`, and what `run` throws
 */
export async function withinLimits(
  limits: Pick<Limits, 'charge'>,
  res: Response,
  { question, stream, stored, longestAnswer }: Asked,
  notes: Notes,
  run: (notes: Notes) => Promise<void>,
): Promise<void> {
  const { caller } = requestContext(res);
  if (Object.keys(caller.limits).length === 0) return run(notes);
  const tokens = Math.ceil(question.share.cost * UNIT_TOKENS);
  const counted = await limits.charge(caller, tokens);
  for (const [name, value] of Object.entries(limitHeaders(counted.standings))) res.setHeader(name, value);
  if ('refusal' in counted) throw counted.refusal;
  let usage: Usage | undefined;
  let failure: Failure | undefined;
  const watched: Notes = {
    ...notes,
    whole: (known) => {
      usage = known;
      notes.whole(known);
    },
    streamed: (bytes, known) => {
      usage = known;
      notes.streamed(bytes, known);
    },
    broken: (cause) => {
      failure = cause;
      notes.broken(cause);
    },
  };
  try {
    await run(watched);
  } catch (error) {
    failure = toFailure(error);
    throw error;
  } finally {
    const { charge } = counted;
    const { claimedAt, leftAfter } = notes.phases;
    if (claimedAt === undefined) charge.giveBack();
    else if (usage !== undefined) charge.settle(usage.promptTokens + usage.completionTokens);
    else if (failure !== undefined && failure.code !== 'client_closed') charge.settle(0);
    // Engines stream kept answers to the gateway.
    else if ((stream || stored !== undefined) && leftAfter !== undefined)
      charge.settle(Math.min(tokens, tokens - longestAnswer + leftAfter));
    else charge.settle();
  }
}
