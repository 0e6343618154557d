import type { Asked } from '../answer/question.ts';
import { HeldBody } from '../queue/held-body.ts';
import type { KeptRequest } from './record.ts';

/** What the gateway that adopts an answer knows of its request besides its record. */
interface Surroundings {
  /** instant (clock of this process, ms) of its deadline */
  readonly deadlineAt: number;
  readonly specialTokens: RegExp;
  /** bytes of the log of one attempt */
  readonly logBytes: number;
}

/** The request of an adopted answer. */
export function adoptedRequest(kept: KeptRequest, { deadlineAt, specialTokens, logBytes }: Surroundings): Asked {
  const { model, kind, path, keyId, share, imageTokens, deadlineMs } = kept;
  const { choices, messagesParam, longestAnswer, serviceTier, never } = kept;
  const booked = imageTokens === undefined ? {} : { imageTokens };
  // Redis alone holds it.
  const body = new HeldBody([]);
  body.release();
  return {
    question: { model, kind, path, keyId, share, body, isRetry: false, logBytes, deadlineMs, deadlineAt, ...booked },
    stream: true,
    silenceMs: undefined,
    wantsProgress: false,
    passUsage: kept.post?.passUsage ?? true,
    choices,
    messagesParam,
    form: undefined,
    longestAnswer,
    serviceTier,
    never,
    specialTokens,
  };
}
