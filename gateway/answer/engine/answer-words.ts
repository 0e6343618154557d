import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import type { Members } from './event-watch.ts';

/** The words of a model in what an engine writes, for a content filter. */

/** A piece of one text: of a choice's content, of its reasoning, of the name or the arguments of a call. */
export interface Words {
  /** which choice it belongs to; a response is one */
  readonly choice: number;
  /** which text of the answer it continues */
  readonly lane: string;
  readonly text: string;
}

/** Members that hold no words of the model. */
const NO_WORDS: ReadonlySet<string> = new Set(['role', 'id', 'type', 'status', 'call_id', 'item_id']);
const Index = z.int().nonnegative();
const Indexed = z.looseObject({ index: Index });
// A choice that leaves out its index has its place in the list.
const Choice = z.looseObject({ index: Index.optional().catch(undefined), finish_reason: z.unknown().optional() });
const Choices = z.looseObject({ choices: z.array(Choice) });
const ResponseEvent = z.looseObject({ response: z.looseObject({ output: z.unknown().optional() }).optional() });
const Delta = z.looseObject({
  type: z.string().regex(/\.delta$/),
  // The arguments of a call have no index of content.
  item_id: z.unknown().optional(),
  output_index: z.unknown().optional(),
  content_index: z.unknown().optional(),
  delta: z.string(),
});

/** The words of an event of a stream of the two completion routes. */
export function choiceWords(event: unknown): Words[] {
  return choicesOf(event).flatMap(wordsOfChoice);
}

/** The choices that an event ends. */
export function finishedChoices(event: unknown): number[] {
  return choicesOf(event).flatMap(({ index, finish_reason: reason }, at) =>
    typeof reason === 'string' ? [index ?? at] : [],
  );
}

/** The words of an event of a response that repeats what pieces said before. What it repeats of the request is none. */
export function responseWords(event: unknown): Words[] {
  const { response, ...own } = ResponseEvent.safeParse(event).data ?? {};
  return wordsIn([own, response?.output], '', 0);
}

/** The piece of text in an event of a response; undefined: it holds none, or repeats what came before. */
export function responsePiece(event: unknown): Words | undefined {
  const read = Delta.safeParse(event);
  if (!read.success) return undefined;
  const { type, item_id: item, output_index: output, content_index: content, delta } = read.data;
  return { choice: 0, lane: [type, item, output, content].map(String).join(' '), text: delta };
}

/** The words of a whole answer, by choice; a response is one. */
export function answerWords(path: EnginePath, answer: Members): string[][] {
  const byChoice = path === '/v1/responses' ? [wordsIn(answer['output'], '', 0)] : choicesOf(answer).map(wordsOfChoice);
  return byChoice.map((words) => words.map(({ text }) => text));
}

function choicesOf(answer: unknown): readonly z.infer<typeof Choice>[] {
  return Choices.safeParse(answer).data?.choices ?? [];
}

function wordsOfChoice({ index, delta, message, text }: z.infer<typeof Choice>, at: number): Words[] {
  const choice = index ?? at;
  return wordsIn({ delta, message, text }, String(choice), choice);
}

function wordsIn(value: unknown, lane: string, choice: number): Words[] {
  if (typeof value === 'string') return value === '' ? [] : [{ choice, lane, text: value }];
  if (Array.isArray(value))
    return value.flatMap((item, at) => wordsIn(item, `${lane}.${Indexed.safeParse(item).data?.index ?? at}`, choice));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) =>
    NO_WORDS.has(name) ? [] : wordsIn(item, `${lane}.${name}`, choice),
  );
}
