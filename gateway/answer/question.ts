import type { AnswerForm, ChatRequest } from '../request/chat.ts';
import type { EnginePath, Kind } from '#contract/job';
import { specialTokenPattern } from '#contract/special-tokens';
import type { Allowance } from '../intake/body-memory.ts';
import { HeldBody } from '../queue/held-body.ts';
import type { Share } from '../queue/reservations.ts';
import type { Prepared } from '../request/prepare.ts';
import { neverContinued } from './continuation.ts';

/** One checked request, ready for an engine. */
export interface Question {
  readonly model: string;
  readonly kind: Kind;
  /** the engine's route that the body is for */
  readonly path: EnginePath;
  readonly body: HeldBody;
  readonly keyId: string;
  /** the caller's part of the engines; absent where there are no keys */
  readonly share?: Share;
  /** from arrival to the end of the answer, in milliseconds, and the instant it ends (clock of this process) */
  readonly deadlineMs: number;
  readonly deadlineAt: number;
}

/** A question, and what its answer needs to know of the request; the caller's own objects are not among it. */
export interface Asked {
  readonly question: Question;
  readonly stream: boolean;
  /** the caller asked for the closing usage event of a stream */
  readonly passUsage: boolean;
  /** number of choices that make the answer: each prompt has its own */
  readonly choices: number;
  /** where the caller wrote the messages, for what is said of a prompt that is too long */
  readonly messagesParam: string;
  readonly form: AnswerForm | undefined;
  /** what the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** why a cut stream of it could never go on elsewhere */
  readonly never: string | undefined;
}

/** @param terms `memory`: what was taken for the body, given back once Redis alone holds it */
export function asksFor(
  request: ChatRequest,
  { card, kind, path, body, share }: Prepared,
  terms: Pick<Question, 'keyId' | 'deadlineMs' | 'deadlineAt'> & { readonly memory: Allowance },
): Asked {
  const { memory, ...rest } = terms;
  return {
    question: {
      model: card.name,
      kind,
      path,
      body: new HeldBody(body, memory),
      ...(share === undefined ? {} : { share }),
      ...rest,
    },
    stream: request.stream,
    passUsage: request.includeUsage,
    choices: request.choices * (request.prompts?.length ?? 1),
    messagesParam: request.messagesParam,
    form: request.answerForm,
    specialTokens: specialTokenPattern(card.tokens.special.texts),
    never: neverContinued(path, request),
  };
}
