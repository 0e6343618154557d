import type { Dialect } from './sdks.ts';

/** The cases of a client. A client that lacks one lists it under `lacks`. */
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

/** A client's shortfall: what its caller sees instead, and why. */
export interface Shortfall {
  readonly outcome: Readonly<Record<string, unknown>>;
  readonly why: string;
}
/** One client of the table. */
export interface Client {
  /** the name in its lines */
  readonly name: string;
  /** name in `PENSTOCK_SDKS_RUNTIMES`; a client without its runtime is skipped */
  readonly runtime: string;
  /** file in the runtime's folder; it may contain several clients */
  readonly file: string;
  /** the dialect of its routes; absent if it hides error codes from its caller */
  readonly dialect?: Dialect;
  /** it takes an answer that its token limit cut for an error, so it is asked without one */
  readonly takesComplete?: true;
  /** errors that its caller sees */
  readonly classes: Readonly<Partial<Record<Case, string>>>;
  /** set if its caller sees something other than the answer, such as a score */
  readonly outcomes?: Readonly<Partial<Record<Case, Readonly<Record<string, unknown>>>>>;
  readonly shortfalls?: Readonly<Partial<Record<Case, Shortfall>>>;
  /** settings that its caller needs first, with the reason */
  readonly needs?: string;
  /** cases that it lacks, with the reason */
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
