import { z } from 'zod';
import type { Usage } from '#contract/chat';
import { Failure } from '#contract/failure';
import type { EnginePath } from '#contract/job';
import { EngineEvents, usageOfAnswer } from './engine-events.ts';
import { abortedAnswer } from './engine-failure.ts';
import type { EventWatch } from './event-watch.ts';
import { brokenResponse, ResponseEvents, usageOfResponse } from './response-events.ts';

/** How an engine route answers: what makes an answer whole, and where its token counts are. */
export interface EngineAnswer {
  /** @returns what is wrong with the body of a 200; undefined when it is whole */
  judge(body: Buffer): Failure | undefined;
  usage(body: Buffer): Usage | undefined;
  /**
   * @param passUsage the caller asked for the closing usage event
   * @param join see `EngineEvents`; only for routes whose streams are continued
   */
  events(passUsage: boolean, join?: (event: Buffer) => Buffer | undefined): EventWatch;
}

const choices: EngineAnswer = {
  judge: abortedAnswer,
  usage: usageOfAnswer,
  events: (passUsage, join) => new EngineEvents(passUsage, join),
};
const Counted = z.object({ count: z.number() });

const FORMS: Readonly<Record<EnginePath, EngineAnswer>> = {
  '/v1/chat/completions': choices,
  '/v1/completions': choices,
  '/v1/responses': {
    judge: (body) => unfinished(brokenResponse(parseJson(body))),
    usage: (body) => usageOfResponse(parseJson(body)),
    events: () => new ResponseEvents(),
  },
  '/tokenize': {
    judge: (body) => unfinished(Counted.safeParse(parseJson(body)).success ? undefined : 'a 200 that holds no count'),
    usage: () => undefined,
    events: (passUsage) => choices.events(passUsage),
  },
};

export function engineAnswer(path: EnginePath): EngineAnswer {
  return FORMS[path];
}

function unfinished(cause: string | undefined): Failure | undefined {
  return cause === undefined
    ? undefined
    : new Failure('worker_lost', 'the model process did not finish its answer', { cause });
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
