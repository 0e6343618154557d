import type { ConsoleModel } from '#contract/console';
import type { Answer } from './answer.ts';
import { numbersOf, type Typed } from './parameters.ts';
import type { Picture } from './pictures.ts';

export interface Question {
  readonly text: string;
  readonly pictures: readonly Picture[];
}
export interface Turn {
  readonly question: Question;
  readonly answer: Answer;
}

type Part =
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }
  | { readonly type: 'text'; readonly text: string };
export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string | readonly Part[];
}

/** A chat completion as the page asks for it: `POST /v1/chat/completions`. */
export type ChatBody = {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly stream: true;
  readonly stream_options: { readonly include_usage: true };
} & Partial<Record<keyof Typed, number>>;

/** Pictures that the next request repeats. */
export function picturesIn(turns: readonly Turn[]): number {
  return answered(turns).reduce((sum, { question }) => sum + question.pictures.length, 0);
}

/** The request of a conversation and its next question. */
export function chatBody(
  { name }: ConsoleModel,
  system: string,
  turns: readonly Turn[],
  next: Question,
  typed: Typed,
): ChatBody {
  const before = answered(turns).flatMap(({ question, answer }): Message[] => [
    questionMessage(question),
    { role: 'assistant', content: answer.text },
  ]);
  const rules: Message[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  return {
    model: name,
    messages: [...rules, ...before, questionMessage(next)],
    ...numbersOf(typed),
    stream: true,
    stream_options: { include_usage: true },
  };
}

function questionMessage({ text, pictures }: Question): Message {
  if (pictures.length === 0) return { role: 'user', content: text };
  const parts = pictures.map(({ dataUri }): Part => ({ type: 'image_url', image_url: { url: dataUri } }));
  return { role: 'user', content: text === '' ? parts : [...parts, { type: 'text', text }] };
}

/** A turn without a word of an answer is no part of the conversation. */
function answered(turns: readonly Turn[]): Turn[] {
  return turns.filter(({ answer }) => answer.text !== '');
}
