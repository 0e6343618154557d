import type { Usage } from '../../request/chat.ts';
import type { Failure } from '../../failure.ts';
import type { EnginePath } from '#contract/job';
import { EngineEvents, usageOfAnswer } from './events.ts';
import { engineFailure, unfinished } from './failure.ts';
import { errorIn, reportedError } from './reported-error.ts';
import type { EventWatch, Join } from './event-watch.ts';
import { parseJson } from './sse.ts';
import { ResponseEvents, usageOfResponse } from './response-events.ts';
import { brokenAnswer } from './whole-answer.ts';

/** How an engine route answers: when an answer is complete, and where its token counts are. */
export interface EngineAnswer {
  /**
   * @param messagesParam where the caller wrote the messages, for a refusal in that body
   * @returns what is wrong with the body of a 200; undefined if it is complete
   */
  judge(body: Buffer, messagesParam: string): Failure | undefined;
  usage(body: Buffer): Usage | undefined;
  /**
   * @param passUsage the caller requested the closing usage event
   * @param join changes the engine's events to follow others, or drops them
   */
  events(passUsage: boolean, join?: Join): EventWatch;
}

/** @param choices number of choices that were requested */
export function engineAnswer(path: EnginePath, choices: number): EngineAnswer {
  const isResponse = path === '/v1/responses';
  return {
    judge: (body, messagesParam) => {
      const answer = parseJson(body);
      const error = errorIn(answer);
      if (error !== undefined) {
        const { failure, refusal } = reportedError(error);
        return refusal === undefined ? failure : engineFailure(refusal.status, refusal.body, messagesParam);
      }
      const broken = brokenAnswer(path, answer, choices);
      return broken === undefined ? undefined : unfinished(broken);
    },
    usage: isResponse ? (body) => usageOfResponse(parseJson(body)) : usageOfAnswer,
    events: (passUsage, join) =>
      isResponse ? new ResponseEvents(join) : new EngineEvents({ passUsage, choices, join }),
  };
}
