import type { CacheUse } from '../engine/cache.ts';
import type { StreamUsage } from '../engine/sampling.ts';
import type { Sequence } from '../engine/sequence.ts';
import type { Prompt } from '../text/prompt.ts';

/** A completion request after all checks; prompts of a list are answered as so many choices. */
export interface CompletionRequest {
  readonly id: string;
  readonly prompts: readonly Prompt[];
  readonly cache: CacheUse;
  readonly sequences: readonly Sequence[];
  /** choices per prompt */
  readonly choices: number;
  readonly usage: StreamUsage;
  readonly echo: boolean;
  readonly alternatives: number | undefined;
  readonly showsIds: boolean;
}
