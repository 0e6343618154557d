import { expect, test } from '@jest/globals';
import { LIVE_REQUESTS, LiveView, type LiveRequest } from '#contract/console';
import { isLiveView } from '../../../gateway/console/data.ts';
import { byPool } from '../../../gateway/console/live/engine-words.ts';
import { MOST_REQUESTS, pauseMs, withRequests } from '../../../gateway/console/live/live-feed.ts';
import { endOf, phasesOf } from '../../../gateway/console/live/phases.ts';

const request = (id: number, more: Partial<LiveRequest> = {}): LiveRequest => ({
  requestId: `r${id}`,
  endedAt: new Date(id * 1_000).toISOString(),
  keyId: 'team-oslo',
  model: 'm',
  dialect: 'openai',
  path: '/v1/chat/completions',
  status: 200,
  outcome: 'answered',
  repeats: 0,
  totalMs: 1_000,
  ...more,
});
const view = (requests: LiveRequest[], replica = 'g1'): LiveView => ({
  replica,
  stage: 'serving',
  openRequests: 0,
  engines: [],
  queues: [],
  admission: {},
  redis: [],
  requests,
});

test('the page remembers as many requests as a gateway, newest first, each once', () => {
  expect(MOST_REQUESTS).toBe(LIVE_REQUESTS);
  const first = Array.from({ length: LIVE_REQUESTS }, (_, index) => request(LIVE_REQUESTS - index));
  const before = { view: view(first), requests: first };
  const next = withRequests(before, view([request(LIVE_REQUESTS + 1), request(LIVE_REQUESTS)]));
  expect(next.slice(0, 3).map(({ requestId }) => requestId)).toEqual(['r201', 'r200', 'r199']);
  expect(next).toHaveLength(LIVE_REQUESTS);
});

test('after a reconnect to another gateway the requests are those of that one', () => {
  const before = { view: view([request(1)]), requests: [request(1)] };
  expect(withRequests(before, view([request(2)], 'g2')).map(({ requestId }) => requestId)).toEqual(['r2']);
});

test('pauses between tries grow to half a minute', () => {
  expect([0, 1, 2, 4, 5, 100].map(pauseMs)).toEqual([1_000, 2_000, 4_000, 16_000, 30_000, 30_000]);
});

test('the phases of an answered request follow each other from its first byte to its end', () => {
  const timed = request(1, { enqueuedMs: 20, claimedMs: 220, firstByteMs: 300, completionTokens: 64, estimateMs: 180 });
  expect(phasesOf(timed).map(({ fromMs, toMs, note }) => [fromMs, toMs, note])).toEqual([
    [0, 20, ''],
    [20, 220, 'told 180 ms'],
    [220, 300, ''],
    [300, 1_000, '64 tokens'],
  ]);
});

test('a request that was refused, or whose engine was repeated, has no phase that goes back or beyond its end', () => {
  expect(phasesOf(request(1, { totalMs: 5 }))).toHaveLength(1);
  const repeated = phasesOf(request(1, { enqueuedMs: 20, claimedMs: 900, firstByteMs: 300, repeats: 1 }));
  expect(repeated.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([
    [0, 20],
    [20, 900],
    [900, 900],
    [900, 1_000],
  ]);
});

test.each([
  [{ status: 200, outcome: 'answered' }, 'answered'],
  [{ status: 429, outcome: 'queue_full' }, 'refused'],
  [{ status: 503, outcome: 'no_engine' }, 'failed'],
  [{ status: 200, outcome: 'worker_lost' }, 'failed'],
  [{ status: 499, outcome: 'client_closed' }, 'left'],
])('%p ended: %s', (more, end) => {
  expect(endOf(request(1, more))).toBe(end);
});

test('what the contract allows can be shown, and nothing else is', () => {
  const load = { text: 0, image: 0 };
  const engine = { id: 'engine-1', node: 'n', pool: 'p', model: 'm', state: 'ready', inFlight: load, slots: load };
  const told = { ...engine, gpus: [], restarts: null, stage: null, lastFailure: null };
  const queue = { model: 'm', kind: 'text', waiting: null, expectedWaitMs: null, requestsPerSecond: null, bookings: 0 };
  const shown = { ...view([request(1)]), engines: [told], queues: [{ ...queue, keys: [] }] };
  expect([LiveView.safeParse(shown).success, isLiveView(shown)]).toEqual([true, true]);
  const broken = [{ ...shown, engines: [engine] }, { ...shown, queues: [queue] }, { ...shown, requests: 7 }, null, 'x'];
  expect(broken.filter(isLiveView)).toEqual([]);
});

test('engines are in the order of their pools, nodes and names', () => {
  const load = { text: 0, image: 0 };
  const told = { model: 'm', inFlight: load, slots: load, gpus: [], restarts: 0, stage: null, lastFailure: null };
  const engines = ['b n1 e1', 'a n2 e0', 'b n1 e0'].map((one) => {
    const [pool = '', node = '', id = ''] = one.split(' ');
    return { pool, node, id, state: 'ready' as const, ...told };
  });
  expect(byPool(engines).map(([pool, ofPool]) => [pool, ofPool.map(({ id }) => id)])).toEqual([
    ['a', ['e0']],
    ['b', ['e0', 'e1']],
  ]);
});
