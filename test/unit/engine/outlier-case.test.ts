import { expect, test } from '@jest/globals';
import { OutlierCase } from '../../../worker-launcher/engine/outlier-case.ts';
import { step, type EngineState, type OutlierReason } from '../../../worker-launcher/engine/state.ts';
import { ENGINE_LIMITS as limits } from '../../support/engine-limits.ts';

const out = (reason: OutlierReason): EngineState => step({ kind: 'ready', since: 0, attempt: 0 }, reason, 0, limits)[0];
const page = (tokens: number): string =>
  ['inter_token_latency_seconds_sum 1', `inter_token_latency_seconds_count ${tokens}`]
    .concat('time_to_first_token_seconds_sum 1', 'time_to_first_token_seconds_count 1')
    .map((line) => `vllm:${line}\n`)
    .join('');

test('H5: a slow test generation counts against an engine only if it is otherwise idle, and never counts for it', () => {
  const known = { state: out('slow'), page: undefined, isSlow: (tookMs: number) => tookMs > 100 };
  const one = new OutlierCase();
  const slow = { event: 'canary_ok', tookMs: 300 } as const;
  expect(one.read(slow, { ...known, inFlight: 2 })).toBeUndefined();
  expect(one.read(slow, { ...known, inFlight: 0 })).toBe('canary_slow');
  expect(one.read({ event: 'canary_ok', tookMs: 50 }, { ...known, inFlight: 2 })).toBe('canary_ok');
  expect(one.read({ event: 'canary_failed' }, { ...known, inFlight: 2 })).toBe('canary_failed');
});

test('H5: a failed test generation does not count against a mute engine that generates tokens for running requests', () => {
  const known = { state: out('mute'), inFlight: 4, isSlow: () => false };
  const one = new OutlierCase();
  const missing = { event: 'canary_failed' } as const;
  for (const tokens of [100, 200, 300]) expect(one.read(missing, { ...known, page: page(tokens) })).toBeUndefined();
  expect(one.read(missing, { ...known, page: page(300) })).toBe('canary_failed');
  expect(one.read(missing, { ...known, page: undefined })).toBe('canary_failed');
  expect(one.read({ event: 'canary_ok', tookMs: 9 }, { ...known, page: page(300) })).toBe('canary_ok');
});
