import type { AnswerForm, ChatRequest, Stored } from '../request/chat.ts';
import type { EnginePath, Kind } from '#contract/job';
import type { ServiceClass } from '#contract/service-class';
import type { Allowance } from '../intake/body-memory.ts';
import { HeldBody } from '../queue/held-body.ts';
import type { Share } from '../queue/reservations.ts';
import type { Prepared } from '../request/prepare.ts';
import { neverContinued } from './continuation.ts';

/** One checked request, ready for an engine. */
export interface Question {
  readonly model: string;
  readonly kind: Kind;
  /** the engine's route for the body */
  readonly path: EnginePath;
  readonly body: HeldBody;
  readonly keyId: string;
  readonly share: Share;
  /** its client says that this is not the first try */
  readonly isRetry: boolean;
  /** prompt tokens of its pictures; absent in the gateway's own questions, which no key is booked for */
  readonly imageTokens?: number;
  /** from arrival to the end of the answer, in milliseconds, and the instant it ends (clock of this process) */
  readonly deadlineMs: number;
  readonly deadlineAt: number;
  /** the answer is durable, and its log takes so many bytes at most */
  readonly logBytes?: number;
}

/** A question, and the facts about the request that its answer needs, without the caller's own objects. */
export interface Asked {
  readonly question: Question;
  readonly stream: boolean;
  /** longest silence of a stream that its client accepts, in milliseconds; undefined: it did not say */
  readonly silenceMs: number | undefined;
  /** it wants to know each second how its stream waits */
  readonly wantsProgress: boolean;
  /** the caller requested the closing usage event of a stream */
  readonly passUsage: boolean;
  /** number of choices that make a complete answer: each prompt has its own */
  readonly choices: number;
  /** path of the messages in the caller's body, for the error about a prompt that is too long */
  readonly messagesParam: string;
  readonly form: AnswerForm | undefined;
  /** tokens of the longest answer that it allows */
  readonly longestAnswer: number;
  /** the class of service that it got, if it asked for one */
  readonly serviceTier: ServiceClass | undefined;
  /** texts that the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** why its stream can never be continued */
  readonly never: string | undefined;
  /** how the answer is kept; absent: it is not */
  readonly stored?: Stored;
  /** what is kept of the request with it */
  readonly input?: HeldBody;
  /** later requests may name its items */
  readonly hasItems?: boolean;
  /** the response that it names, which its engine does not know */
  readonly previous?: string;
  /** the stream outlives its connection */
  readonly isDurable?: boolean;
}

/** @param terms `memory`: the allowance taken for the body, released when only Redis holds it */
export function asksFor(
  request: ChatRequest,
  { card, kind, path, body, imageTokens, longestAnswer, share, serviceTier, specialTokens }: Prepared,
  terms: Pick<Question, 'keyId' | 'isRetry' | 'deadlineMs' | 'deadlineAt' | 'logBytes'> &
    Pick<Asked, 'silenceMs' | 'wantsProgress' | 'isDurable' | 'stored' | 'input' | 'hasItems' | 'previous'> & {
      readonly memory: Allowance;
    },
): Asked {
  const {
    memory,
    silenceMs,
    wantsProgress,
    isDurable = false,
    hasItems = false,
    stored,
    input,
    previous,
    ...rest
  } = terms;
  return {
    question: {
      model: card.name,
      kind,
      path,
      body: new HeldBody(body, memory),
      imageTokens,
      share,
      ...rest,
    },
    stream: request.stream,
    silenceMs,
    wantsProgress,
    isDurable,
    hasItems,
    passUsage: request.includeUsage,
    choices: request.choices * (request.prompts?.length ?? 1),
    messagesParam: request.messagesParam,
    form: request.answerForm,
    longestAnswer,
    serviceTier,
    specialTokens,
    never: neverContinued(path, request),
    ...(stored === undefined ? {} : { stored }),
    ...(input === undefined ? {} : { input }),
    ...(previous === undefined ? {} : { previous }),
  };
}
