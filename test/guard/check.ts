import type { Stand } from './stand.ts';

/** One attack against a real stack. */
export interface Check {
  /** id of the family, such as `N1` */
  readonly row: string;
  readonly name: string;
  readonly sent: string;
  /** @returns the measurements. @throws Error if the stack did not withstand the attack */
  readonly run: (stand: Stand) => Promise<string>;
}

/** @throws Error with the seen and the expected value */
export function must(holds: boolean, problem: string): void {
  if (!holds) throw new Error(problem);
}

export function milliseconds(value: number): string {
  return `${value.toFixed(0)} ms`;
}
