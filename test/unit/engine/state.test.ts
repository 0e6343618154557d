import { describe, expect, test } from '@jest/globals';
import {
  BEFORE_FIRST_START,
  CRASH_REASONS,
  crashReason,
  ENGINE_EVENTS,
  OUTLIER_REASONS,
  probeOf,
  step,
  type EngineEvent,
  type EngineState,
} from '../../../worker-launcher/engine/state.ts';
import { ENGINE_LIMITS as limits } from '../../support/engine-limits.ts';

const NOW = 10_000;

const starting: EngineState = { kind: 'starting', since: NOW - 100, attempt: 0, killed: false };
const warming: EngineState = { ...starting, kind: 'warming' };
const ready: EngineState = { kind: 'ready', since: NOW - 100, attempt: 2 };
const suspect: EngineState = {
  kind: 'suspect',
  since: NOW - 100,
  readySince: NOW - 200,
  attempt: 2,
  failed: 0,
  answered: false,
  killed: false,
};
const finishing: EngineState = { kind: 'draining', phase: 'finishing', since: NOW - 100, until: NOW + 500 };
const terminating: EngineState = { kind: 'draining', phase: 'terminating', since: NOW - 10, until: NOW + 30 };
const backoff: EngineState = { kind: 'backoff', until: NOW + 5, attempt: 3 };
const asked: EngineState = { kind: 'stopped', why: 'asked' };

/** Every state by every event: the next state and the effects. `=` means: no change. */
const TABLE: readonly (readonly [string, EngineState, Record<EngineEvent, string>])[] = [
  [
    'starting',
    starting,
    {
      healthy: 'warming',
      unhealthy: '=',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: '=',
      exit: 'backoff',
      exit_bad_flags: 'stopped',
      drain: 'draining kill',
      start: '=',
      tick: '=',
    },
  ],
  [
    'warming',
    warming,
    {
      healthy: '=',
      unhealthy: '=',
      canary_ok: 'ready',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: '=',
      exit: 'backoff',
      exit_bad_flags: 'stopped',
      drain: 'draining kill',
      start: '=',
      tick: '=',
    },
  ],
  [
    'ready',
    ready,
    {
      healthy: '=',
      unhealthy: 'suspect',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: 'suspect',
      mute: 'suspect',
      slow: 'suspect',
      canary_slow: '=',
      stalled: 'suspect',
      hung: 'suspect',
      hint: 'suspect',
      idle: '=',
      exit: 'backoff',
      exit_bad_flags: 'backoff',
      drain: 'draining',
      start: '=',
      tick: '=',
    },
  ],
  [
    'suspect',
    suspect,
    {
      healthy: 'suspect',
      unhealthy: 'suspect',
      canary_ok: 'ready',
      canary_failed: 'suspect',
      progress: '=',
      failing: 'suspect',
      mute: 'suspect',
      slow: 'suspect',
      canary_slow: 'suspect',
      stalled: '=',
      hung: 'suspect kill',
      hint: '=',
      idle: '=',
      exit: 'backoff',
      exit_bad_flags: 'backoff',
      drain: 'draining',
      start: '=',
      tick: '=',
    },
  ],
  [
    'draining while answers run',
    finishing,
    {
      healthy: '=',
      unhealthy: '=',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: 'draining terminate',
      exit: 'stopped',
      exit_bad_flags: 'stopped',
      drain: '=',
      start: '=',
      tick: '=',
    },
  ],
  [
    'draining after SIGTERM',
    terminating,
    {
      healthy: '=',
      unhealthy: '=',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: '=',
      exit: 'stopped',
      exit_bad_flags: 'stopped',
      drain: '=',
      start: '=',
      tick: '=',
    },
  ],
  [
    'backoff',
    backoff,
    {
      healthy: '=',
      unhealthy: '=',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: '=',
      exit: '=',
      exit_bad_flags: '=',
      drain: 'stopped',
      start: '=',
      tick: '=',
    },
  ],
  [
    'stopped',
    asked,
    {
      healthy: '=',
      unhealthy: '=',
      canary_ok: '=',
      canary_failed: '=',
      progress: '=',
      failing: '=',
      mute: '=',
      slow: '=',
      canary_slow: '=',
      stalled: '=',
      hung: '=',
      hint: '=',
      idle: '=',
      exit: '=',
      exit_bad_flags: '=',
      drain: '=',
      start: 'backoff',
      tick: '=',
    },
  ],
];

describe.each(TABLE)('%s', (_name, state, row) => {
  test.each(ENGINE_EVENTS)('%s', (event) => {
    const [next, ...effects] = step(state, event, NOW, limits);
    if (row[event] === '=') {
      expect(next).toEqual(state);
      expect(effects).toEqual([]);
    } else expect([next.kind, ...effects].join(' ')).toBe(row[event]);
  });
});

test('the first start is immediate', () => {
  const [next, ...effects] = step(BEFORE_FIRST_START, 'tick', NOW, limits);
  expect(next).toEqual({ kind: 'starting', since: NOW, attempt: 0, killed: false });
  expect(effects).toEqual(['spawn']);
});

test('a start that takes too long is killed, repeatedly until it has ended', () => {
  const [doomed, ...effects] = step(warming, 'tick', NOW + 800, limits);
  expect(effects).toEqual(['kill']);
  expect(step(doomed, 'tick', NOW + 801, limits).slice(1)).toEqual(['kill']);
  // a token that arrives after the kill does not put it into service
  expect(step(doomed, 'canary_ok', NOW + 801, limits)[0].kind).toBe('warming');
  expect(crashReason(doomed)).toBe('start_timeout');
});

test('the wait before a restart doubles up to the cap', () => {
  let state: EngineState = BEFORE_FIRST_START;
  let now = NOW;
  const waits: number[] = [];
  for (let crash = 0; crash < 6; crash += 1) {
    [state] = step(state, 'tick', now, limits);
    [state] = step(state, 'exit', now, limits);
    if (state.kind !== 'backoff') throw new Error(state.kind);
    waits.push(state.until - now);
    now = state.until;
  }
  expect(waits).toEqual([10, 20, 40, 80, 80, 80]);
});

test('a crash soon after ready continues the count; one after a stable time starts it again', () => {
  expect(step(ready, 'exit', NOW, limits)[0]).toMatchObject({ kind: 'backoff', attempt: 3 });
  expect(step(ready, 'exit', NOW + 900, limits)[0]).toMatchObject({ kind: 'backoff', attempt: 1 });
});

test('a suspicion does not restart the stable time', () => {
  const [doubted] = step(ready, 'hint', NOW, limits);
  const [cleared] = step(doubted, 'canary_ok', NOW + 50, limits);
  expect(cleared).toEqual(ready);
});

test('a suspect engine is probed for health, then for a token, and killed after the third failure', () => {
  let [state] = step(ready, 'unhealthy', NOW, limits);
  expect(probeOf(state)).toBe('health');
  [state] = step(state, 'healthy', NOW, limits);
  expect(probeOf(state)).toBe('canary');
  [state] = step(state, 'canary_failed', NOW, limits);
  expect(probeOf(state)).toBe('health');
  [state] = step(state, 'unhealthy', NOW, limits);
  const [doomed, ...effects] = step(state, 'unhealthy', NOW, limits);
  expect(effects).toEqual(['kill']);
  expect(step(doomed, 'canary_ok', NOW, limits)[0].kind).toBe('suspect');
  expect(crashReason(doomed)).toBe('unresponsive');
  expect(step(doomed, 'drain', NOW, limits).slice(1)).toEqual(['kill']);
});

test('a suspect engine that steps and answers returns to service without a token for us', () => {
  expect(step(suspect, 'progress', NOW, limits)[0].kind).toBe('suspect');
  const [answered] = step(suspect, 'healthy', NOW, limits);
  expect(step(answered, 'progress', NOW, limits)[0]).toMatchObject({ kind: 'ready', since: NOW - 200 });
});

test('H5: an engine that does worse than its siblings returns only after a token, not after steps', () => {
  for (const reason of OUTLIER_REASONS) {
    const [out] = step(ready, reason, NOW, limits);
    const [answered] = step(out, 'healthy', NOW, limits);
    expect(step(answered, 'progress', NOW, limits)[0]).toEqual(answered);
    expect(step(answered, 'canary_ok', NOW, limits)[0]).toEqual(ready);
  }
});

test('H5: a slow engine gets the drain time for its answers, is killed after three slow tokens, and can become mute', () => {
  const [slow] = step(ready, 'slow', NOW, limits);
  expect(step(slow, 'tick', NOW + 599, limits)).toEqual([slow]);
  expect(step(slow, 'tick', NOW + 600, limits).slice(1)).toEqual(['kill']);
  let state = slow;
  for (let n = 0; n < 2; n += 1) [state] = step(state, 'canary_slow', NOW, limits);
  const [doomed, ...effects] = step(state, 'canary_slow', NOW, limits);
  expect(effects).toEqual(['kill']);
  expect(crashReason(doomed)).toBe('outlier');
  const [mute] = step(slow, 'mute', NOW + 100, limits);
  expect(mute).toMatchObject({ outlier: 'mute', since: NOW + 100 });
  expect(step(mute, 'slow', NOW + 200, limits)).toEqual([mute]);
});

test('a suspicion that lasts too long ends with a kill', () => {
  expect(step(suspect, 'tick', NOW + 400, limits).slice(1)).toEqual(['kill']);
});

test('idle counts only after late reports had time to arrive', () => {
  const [fresh] = step(ready, 'drain', NOW, limits);
  expect(step(fresh, 'idle', NOW + 49, limits)).toEqual([fresh]);
  expect(step(fresh, 'idle', NOW + 50, limits).slice(1)).toEqual(['terminate']);
});

test('answers beyond the drain limit do not delay the stop, and SIGKILL follows SIGTERM', () => {
  const [told, ...effects] = step(finishing, 'tick', NOW + 500, limits);
  expect(effects).toEqual(['terminate']);
  expect(step(told, 'tick', NOW + 539, limits)).toEqual([told]);
  expect(step(told, 'tick', NOW + 540, limits).slice(1)).toEqual(['kill']);
});

test('a second drain shortens, never lengthens', () => {
  const urgent = { ...limits, drainMs: 0, stopMs: 0 };
  expect(step(finishing, 'drain', NOW, urgent)[0]).toMatchObject({ until: NOW });
  expect(step(terminating, 'drain', NOW, urgent)[0]).toMatchObject({ until: NOW });
  expect(step(finishing, 'drain', NOW, { ...limits, drainMs: 9_999 })[0]).toEqual(finishing);
});

test('in every sequence, only an engine that generated a token is in service, and a requested stop remains', () => {
  let random = 1;
  const next = (bound: number): number => {
    random = (random * 48_271) % 2_147_483_647;
    return random % bound;
  };
  let state: EngineState = BEFORE_FIRST_START;
  let now = NOW;
  let told = false;
  for (let round = 0; round < 20_000; round += 1) {
    if (state.kind === 'stopped' && next(4) === 0) {
      state = BEFORE_FIRST_START;
      told = false;
    }
    const event = ENGINE_EVENTS[next(ENGINE_EVENTS.length)] ?? 'tick';
    now += next(60);
    const before: EngineState = state;
    const [after, ...effects] = step(before, event, now, limits);
    if (after.kind === 'ready' && before.kind === 'warming') expect(event).toBe('canary_ok');
    if (after.kind === 'ready' && before.kind === 'suspect') expect(['canary_ok', 'progress']).toContain(event);
    if (effects.includes('spawn')) expect(before.kind).toBe('backoff');
    if (effects.includes('terminate')) expect(after).toMatchObject({ kind: 'draining', phase: 'terminating' });
    if (after.kind === 'backoff' && before.kind !== 'backoff') expect(CRASH_REASONS).toContain(crashReason(before));
    if (event === 'drain') told = true;
    if (event === 'start' && before.kind === 'stopped') told = false;
    if (told) expect(['draining', 'stopped']).toContain(after.kind);
    state = after;
  }
});
