import type { ModelCard } from '#contract/model-card';
import { SERVICE_CLASSES, type ServiceClass } from '#contract/service-class';

/** Limits of one key's waiting requests; an absent one is no limit. */
interface KeyCaps {
  /** waiting requests of the key, in all replicas together */
  readonly waiting_jobs?: number | undefined;
  /** bytes of their bodies */
  readonly waiting_bytes?: number | undefined;
}

/** Limits of one key, in all replicas and for all models together; an absent one is no limit. */
interface KeyLimits {
  readonly requests_per_minute?: number | undefined;
  /** tokens of prompts, pictures and answers */
  readonly tokens_per_minute?: number | undefined;
  /** the same; the day begins at 0:00 UTC */
  readonly tokens_per_day?: number | undefined;
}

/** What a key may ask for if its entry has no `tiers`. */
export const USUAL_TIERS: readonly ServiceClass[] = ['default', 'flex'];

/** The sender of a request, and its rights. */
export interface Caller {
  /** name of the key; part of the job and the log line */
  readonly id: string;
  /** separates the present keys of this id from former ones; only used in the cache salt */
  readonly fingerprint: string;
  /** share of the engines, relative to the weights of the other keys */
  readonly weight: number;
  readonly caps: KeyCaps;
  readonly limits: KeyLimits;
  readonly tiers: readonly ServiceClass[];
  /** it may see what concerns all callers */
  readonly mayOperate: boolean;
  /** @param path of the request, without a query */
  mayCall(path: string): boolean;
  mayUse(card: ModelCard): boolean;
}

/** Every caller, if no keys are configured: only this machine can connect then. */
export const ANYONE: Caller = {
  id: 'anonymous',
  fingerprint: '',
  weight: 1,
  caps: {},
  limits: {},
  tiers: SERVICE_CLASSES,
  mayOperate: true,
  mayCall: () => true,
  mayUse: () => true,
};

/** A caller without a valid key. */
export const NOBODY: Caller = {
  id: 'none',
  fingerprint: '',
  weight: 1,
  caps: {},
  limits: {},
  tiers: [],
  mayOperate: false,
  mayCall: () => false,
  mayUse: () => false,
};
