import type { ModelCard } from '#contract/model-card';

/** What an operator may hold against one key when requests wait; each absent one is no bound. */
interface KeyCaps {
  /** waiting requests of the key, in all replicas together */
  readonly waiting_jobs?: number | undefined;
  /** bytes of their bodies */
  readonly waiting_bytes?: number | undefined;
}

/** Who sends a request, and what that one may do. */
export interface Caller {
  /** of the key; goes into the job and the log line */
  readonly id: string;
  /** tells the keys of this id from those that it had before; goes into the cache salt alone */
  readonly fingerprint: string;
  /** share of the engines, against the weights of the other keys */
  readonly weight: number;
  readonly caps: KeyCaps;
  /** @param path of the request, without a query */
  mayCall(path: string): boolean;
  mayUse(card: ModelCard): boolean;
}

/** Everybody, where no keys are configured: only this machine can connect then. */
export const ANYONE: Caller = {
  id: 'anonymous',
  fingerprint: '',
  weight: 1,
  caps: {},
  mayCall: () => true,
  mayUse: () => true,
};

/** Who has shown no valid key. */
export const NOBODY: Caller = {
  id: 'none',
  fingerprint: '',
  weight: 1,
  caps: {},
  mayCall: () => false,
  mayUse: () => false,
};
