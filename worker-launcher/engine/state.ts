/** State machine of one engine, pure: a state is a shape, an event a word. The supervisor runs the effects. */

export type EngineState =
  /** starting: spawned, `/health` has not answered; warming: it has, but no token was generated. `since`: the spawn */
  | {
      readonly kind: 'starting' | 'warming';
      readonly since: number;
      readonly attempt: number;
      readonly killed: boolean;
    }
  | { readonly kind: 'ready'; readonly since: number; readonly attempt: number }
  /** out of dispatch until `/health` answers and a token arrives; `readySince` is kept for the return */
  | {
      readonly kind: 'suspect';
      readonly since: number;
      readonly readySince: number;
      readonly attempt: number;
      readonly failed: number;
      /** `/health` has answered since then: a token is requested next */
      readonly answered: boolean;
      /** it does worse than its siblings: engine steps no longer prove that it is healthy */
      readonly outlier?: OutlierReason;
      readonly killed: boolean;
    }
  /** out of dispatch; running answers finish, then it gets SIGTERM, then its group is killed */
  | {
      readonly kind: 'draining';
      readonly phase: 'finishing' | 'terminating';
      readonly since: number;
      readonly until: number;
    }
  | { readonly kind: 'backoff'; readonly until: number; readonly attempt: number }
  | { readonly kind: 'stopped'; readonly why: 'asked' | 'gave_up' };

/** How an engine can do worse than its siblings: it answers with errors, not at all, or far more slowly. */
export const OUTLIER_REASONS = ['failing', 'mute', 'slow'] as const;
export type OutlierReason = (typeof OUTLIER_REASONS)[number];

export const ENGINE_EVENTS = [
  ...OUTLIER_REASONS,
  'healthy',
  'unhealthy',
  /** a short test generation succeeded, or failed */
  'canary_ok',
  'canary_failed',
  /** it succeeded on an otherwise idle engine, but took far longer than its siblings' */
  'canary_slow',
  /** its step counter moved; did not move although it has work; has not moved for too long to recover */
  'progress',
  'stalled',
  'hung',
  /** a dispatcher's connection was refused or reset, or the leading process ended */
  'hint',
  /** no request of ours is in flight on it */
  'idle',
  /** the process and its entire group have ended */
  'exit',
  /** the same with exit code 2 (source: vLLM exits with 2 on bad flags, with 1 on any other failed start) */
  'exit_bad_flags',
  'drain',
  /** restarts a stopped engine */
  'start',
  'tick',
] as const;
export type EngineEvent = (typeof ENGINE_EVENTS)[number];

/** Safe to repeat. `terminate` is SIGTERM to the leading process, `kill` SIGKILL to the entire group. */
type Effect = 'spawn' | 'terminate' | 'kill';

/** All in milliseconds, except `probes`. */
export interface Limits {
  /** from spawn to ready */
  readonly startMs: number;
  /** time for running answers after `drain` */
  readonly drainMs: number;
  /** `idle` counts only this long after `drain`, because reports of requests in flight arrive up to 100 ms late */
  readonly settleMs: number;
  /** from SIGTERM to SIGKILL */
  readonly stopMs: number;
  /** failed probes until a suspect engine is killed; the first does not count */
  readonly probes: number;
  /** longest time in `suspect` */
  readonly suspectMs: number;
  readonly backoffMs: number;
  readonly backoffCapMs: number;
  /** a crash after this time in service counts as the first failure */
  readonly stableMs: number;
}

type Step = readonly [EngineState, ...Effect[]];

export const BEFORE_FIRST_START: EngineState = { kind: 'backoff', until: 0, attempt: 0 };

/** @param now monotonic milliseconds */
export function step(s: EngineState, e: EngineEvent, now: number, limits: Limits): Step {
  switch (s.kind) {
    case 'starting':
    case 'warming':
      if (e === 'healthy' && s.kind === 'starting') return [{ ...s, kind: 'warming' }];
      if (e === 'canary_ok' && s.kind === 'warming' && !s.killed)
        return [{ kind: 'ready', since: now, attempt: s.attempt }];
      if (e === 'exit') return crashed(s.attempt + 1, now, limits);
      if (e === 'exit_bad_flags') return [{ kind: 'stopped', why: 'gave_up' }];
      // vLLM ignores SIGTERM during its start.
      if (e === 'drain') return [{ kind: 'draining', phase: 'terminating', since: now, until: now }, 'kill'];
      return e === 'tick' && (s.killed || now - s.since >= limits.startMs) ? [{ ...s, killed: true }, 'kill'] : [s];
    case 'ready':
      if (e === 'unhealthy' || e === 'hint' || e === 'stalled' || e === 'hung')
        return [suspect(s.since, s.attempt, now)];
      if (isOutlierReason(e)) return [{ ...suspect(s.since, s.attempt, now), outlier: e }];
      if (e === 'exit' || e === 'exit_bad_flags')
        return crashed(attemptAfter(s.since, s.attempt, now, limits), now, limits);
      return e === 'drain' ? [finishing(now, limits)] : [s];
    case 'suspect':
      return stepSuspect(s, e, now, limits);
    case 'draining':
      return stepDraining(s, e, now, limits);
    case 'backoff':
      if (e === 'drain') return [{ kind: 'stopped', why: 'asked' }];
      return e === 'tick' && now >= s.until
        ? [{ kind: 'starting', since: now, attempt: s.attempt, killed: false }, 'spawn']
        : [s];
    case 'stopped':
      return [e === 'start' ? BEFORE_FIRST_START : s];
    default:
      return s satisfies never;
  }
}

function stepSuspect(s: EngineState & { kind: 'suspect' }, e: EngineEvent, now: number, limits: Limits): Step {
  if (e === 'exit' || e === 'exit_bad_flags')
    return crashed(attemptAfter(s.readySince, s.attempt, now, limits), now, limits);
  if (e === 'drain')
    return s.killed
      ? [{ kind: 'draining', phase: 'terminating', since: now, until: now }, 'kill']
      : [finishing(now, limits)];
  if (s.killed) return e === 'tick' ? [s, 'kill'] : [s];
  // A slow engine may turn out to be failing or mute.
  if (isOutlierReason(e))
    return [s.outlier === undefined || s.outlier === 'slow' ? { ...s, since: now, outlier: e } : s];
  // Steps count like a token of our own, because a saturated engine may have no slot for our request.
  if (e === 'canary_ok' || (e === 'progress' && s.answered && s.outlier === undefined))
    return [{ kind: 'ready', since: s.readySince, attempt: s.attempt }];
  if (e === 'healthy') return [{ ...s, answered: true }];
  const bad = e === 'unhealthy' || e === 'canary_failed' || e === 'canary_slow';
  const failed = s.failed + (bad ? 1 : 0);
  // An engine that still answers some requests is judged after these.
  const mayWork = s.outlier === 'slow' || s.outlier === 'mute';
  const longest = mayWork ? Math.max(limits.drainMs, limits.suspectMs) : limits.suspectMs;
  const tooLong = e === 'hung' || (e === 'tick' && now - s.since >= longest);
  if (failed >= limits.probes || tooLong) return [{ ...s, failed, killed: true }, 'kill'];
  return [bad ? { ...s, failed, answered: false } : s];
}

function stepDraining(s: EngineState & { kind: 'draining' }, e: EngineEvent, now: number, limits: Limits): Step {
  if (e === 'exit' || e === 'exit_bad_flags') return [{ kind: 'stopped', why: 'asked' }];
  // A second `drain` may have shorter limits.
  if (e === 'drain') {
    const allowedMs = s.phase === 'finishing' ? limits.drainMs : limits.stopMs;
    return [{ ...s, until: Math.min(s.until, now + allowedMs) }];
  }
  const finished = e === 'idle' && now - s.since >= limits.settleMs;
  if (s.phase === 'finishing')
    return finished || (e === 'tick' && now >= s.until)
      ? [{ kind: 'draining', phase: 'terminating', since: now, until: now + limits.stopMs }, 'terminate']
      : [s];
  return e === 'tick' && now >= s.until ? [s, 'kill'] : [s];
}

/** The next probe of an engine in this state. */
export function probeOf(s: EngineState): 'health' | 'canary' | undefined {
  if (s.kind === 'starting' || s.kind === 'ready') return 'health';
  if (s.kind === 'warming') return 'canary';
  if (s.kind === 'suspect') return s.answered ? 'canary' : 'health';
  return undefined;
}

export const CRASH_REASONS = ['start_failed', 'start_timeout', 'exited', 'unresponsive', 'outlier'] as const;
export type CrashReason = (typeof CRASH_REASONS)[number];

/** Why an engine that exited in this state is restarted. An unrequested exit is a crash, whatever its code. */
export function crashReason(s: EngineState): CrashReason {
  if (s.kind === 'starting' || s.kind === 'warming') return s.killed ? 'start_timeout' : 'start_failed';
  if (s.kind !== 'suspect' || !s.killed) return 'exited';
  return s.outlier === undefined ? 'unresponsive' : 'outlier';
}

function suspect(readySince: number, attempt: number, now: number): EngineState & { kind: 'suspect' } {
  return { kind: 'suspect', since: now, readySince, attempt, failed: 0, answered: false, killed: false };
}

function isOutlierReason(e: EngineEvent): e is OutlierReason {
  return OUTLIER_REASONS.some((reason) => reason === e);
}

function finishing(now: number, limits: Limits): EngineState {
  return { kind: 'draining', phase: 'finishing', since: now, until: now + limits.drainMs };
}

function attemptAfter(readySince: number, attempt: number, now: number, limits: Limits): number {
  return now - readySince >= limits.stableMs ? 1 : attempt + 1;
}

function crashed(attempt: number, now: number, limits: Limits): Step {
  const waitMs = Math.min(limits.backoffMs * 2 ** (attempt - 1), limits.backoffCapMs);
  return [{ kind: 'backoff', until: now + waitMs, attempt }];
}
