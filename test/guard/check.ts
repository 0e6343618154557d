import type { Stand } from './stand.ts';

/** One thing that a hostile stranger does, against a real stack. */
export interface Check {
  /** of the family, such as `N1` */
  readonly row: string;
  readonly name: string;
  readonly sent: string;
  /** @returns what was measured. @throws whatever shows that the stack did not hold */
  readonly run: (stand: Stand) => Promise<string>;
}

/** @throws Error that says what was seen in place of what must be */
export function must(holds: boolean, problem: string): void {
  if (!holds) throw new Error(problem);
}

export function milliseconds(value: number): string {
  return `${value.toFixed(0)} ms`;
}
