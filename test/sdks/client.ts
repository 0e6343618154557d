import type { Dialect } from './sdks.ts';

/** What a client is tried with. A client that has no such thing says so under `lacks`. */
export const CASES = [
  'text',
  'stream',
  'picture data',
  'picture address',
  'two turns',
  'two turns streamed',
  'json',
  'tools',
  'error 400',
  'error 401',
  'error 429',
  'error 503',
  'leave',
  'leave a stream',
  'broken stream',
  'error 504',
  'system',
  'stop sequence',
  'count tokens',
] as const;
export type Case = (typeof CASES)[number];

/** Where a client falls short of what it was asked for: what its caller sees instead, and why. */
export interface Shortfall {
  readonly outcome: Readonly<Record<string, unknown>>;
  readonly why: string;
}
/** One client, as the table has it. */
export interface Client {
  /** as its lines say */
  readonly name: string;
  /** by its name in `PENSTOCK_SDKS_RUNTIMES`; a client whose runtime is not there is left out */
  readonly runtime: string;
  /** in that runtime's folder; several clients may be in one */
  readonly file: string;
  /** behind its routes; absent where it does not tell its caller the code of an error */
  readonly dialect?: Dialect;
  /** what its caller sees thrown */
  readonly classes: Readonly<Partial<Record<Case, string>>>;
  /** where its caller sees other things than the answer, such as a score */
  readonly outcomes?: Readonly<Partial<Record<Case, Readonly<Record<string, unknown>>>>>;
  readonly shortfalls?: Readonly<Partial<Record<Case, Shortfall>>>;
  /** what its caller has to set before any of it is met, with the reason */
  readonly needs?: string;
  /** what it does not have, with the reason */
  readonly lacks?: Readonly<Partial<Record<Case, string>>>;
}

/** Classes of what a client's caller sees thrown: by status, when it leaves, and when a stream breaks off. */
interface Thrown {
  readonly 400: string;
  readonly 401: string;
  readonly 429: string;
  readonly 503: string;
  readonly 504?: string;
  readonly leave: string;
  readonly broken: string;
}

export function classesOf(thrown: Thrown): Client['classes'] {
  return {
    tools: thrown[400],
    'error 400': thrown[400],
    'error 401': thrown[401],
    'error 429': thrown[429],
    'error 503': thrown[503],
    leave: thrown.leave,
    'leave a stream': thrown.leave,
    'broken stream': thrown.broken,
    ...(thrown[504] === undefined ? {} : { 'error 504': thrown[504] }),
  };
}
