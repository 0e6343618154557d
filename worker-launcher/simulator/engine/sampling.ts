/** Sampling parameters after vLLM's own checks. */
export interface Sampling {
  readonly choices: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stops: readonly string[];
  readonly stopIds: readonly number[];
  readonly keepStop: boolean;
  /** undefined when greedy: a seed changes nothing then */
  readonly seed: number | undefined;
}
