import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import type { Members } from './event-watch.ts';

/** The words of a model in what an engine writes, for a content filter. */

/** A piece of one text: of a choice's content, of its reasoning, of the arguments of a call. */
export interface Words {
  /** which text of the answer it continues */
  readonly lane: string;
  readonly text: string;
}

/** Members of a piece that hold no words of the model. */
const NO_WORDS: ReadonlySet<string> = new Set(['role', 'id', 'type', 'index', 'name']);
/** Members of a response's events that hold words. */
const WORDS: ReadonlySet<string> = new Set(['text', 'arguments', 'refusal', 'input', 'code']);
const Indexed = z.looseObject({ index: z.int().nonnegative() });
const Choice = z.looseObject({ index: z.int().nonnegative() });
const Choices = z.looseObject({ choices: z.array(Choice) });
const Delta = z.looseObject({
  type: z.string().regex(/\.delta$/),
  item_id: z.unknown(),
  output_index: z.unknown(),
  content_index: z.unknown(),
  delta: z.string(),
});

/** The words of an event of a stream, or of the body of a whole answer, of the two completion routes. */
export function choiceWords(answer: unknown): Words[] {
  const read = Choices.safeParse(answer);
  return (read.data?.choices ?? []).flatMap(({ index, delta, message, text }) =>
    wordsIn(delta ?? message ?? text, String(index)),
  );
}

/** The words of one choice. */
function wordsOfChoice(words: readonly Words[], index: number): string[] {
  return words.filter(({ lane }) => lane === String(index) || lane.startsWith(`${index}.`)).map(({ text }) => text);
}

/** The words of a response, or of an event that repeats what pieces said before. */
export function responseWords(value: unknown): Words[] {
  return inside(value, '', false);
}

/** The piece of text in an event of a response; undefined: it holds none, or repeats what came before. */
export function responsePiece(event: unknown): Words | undefined {
  const read = Delta.safeParse(event);
  if (!read.success) return undefined;
  const { type, item_id: item, output_index: output, content_index: content, delta } = read.data;
  return { lane: [type, item, output, content].map(String).join(' '), text: delta };
}

/** The words of a whole answer, by choice; a response is one. */
export function answerWords(path: EnginePath, answer: Members): string[][] {
  if (path === '/v1/responses') return [responseWords(answer['output']).map(({ text }) => text)];
  const words = choiceWords(answer);
  return (Choices.safeParse(answer).data?.choices ?? []).map(({ index }) => wordsOfChoice(words, index));
}

function wordsIn(value: unknown, lane: string): Words[] {
  if (typeof value === 'string') return value === '' ? [] : [{ lane, text: value }];
  if (Array.isArray(value))
    return value.flatMap((item, at) => wordsIn(item, `${lane}.${Indexed.safeParse(item).data?.index ?? at}`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => (NO_WORDS.has(name) ? [] : wordsIn(item, `${lane}.${name}`)));
}

function inside(value: unknown, lane: string, isWord: boolean): Words[] {
  if (typeof value === 'string') return isWord && value !== '' ? [{ lane, text: value }] : [];
  if (Array.isArray(value)) return value.flatMap((item, at) => inside(item, `${lane}.${at}`, false));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => inside(item, `${lane}.${name}`, WORDS.has(name)));
}
