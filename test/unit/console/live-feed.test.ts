import { expect, test } from '@jest/globals';
import { LIVE_REQUESTS, LiveView } from '#contract/console';
import { LiveFeed, type LiveReader } from '../../../gateway/http/console/live-feed.ts';
import { RecentRequests } from '../../../gateway/http/console/recent-requests.ts';
import { eventually } from '../../support/eventually.ts';

const LINE = {
  dialect: 'openai',
  method: 'POST',
  path: '/v1/chat/completions',
  status: 200,
  outcome: 'answered',
  requestId: '',
  callerRequestId: 'of-client',
  keyId: 'oslo',
  model: 'm',
  totalMs: 5,
};

/** A feed with one model, whose Redis answers after `redisMs`. */
function startFeed({ redisMs = 0 } = {}) {
  const recent = new RecentRequests();
  const seen = { stage: 'serving', reads: 0 };
  const after = async <T>(value: T): Promise<T> => {
    seen.reads += 1;
    await new Promise((resolve) => setTimeout(resolve, redisMs).unref());
    return value;
  };
  const outlook = { expectedWaitMs: 20, requestsPerSecond: 2, bookings: 0, keys: [] };
  const sources = {
    replica: 'g1',
    models: ['m'],
    stage: () => seen.stage,
    openRequests: () => 0,
    workers: () => [],
    depth: () => after(1),
    outlook: () => after(outlook),
    admission: () => Promise.resolve({ admitted: 1 }),
    redis: () => ({}),
  };
  return { feed: new LiveFeed(sources, recent), recent, seen };
}

function reader(keyId: string, more: Partial<LiveReader> = {}) {
  const views: LiveView[] = [];
  const state = { views, isEnded: false };
  const read: LiveReader = {
    keyId,
    isFull: () => false,
    write: (text) => void views.push(LiveView.parse(JSON.parse(text.replace(/^data: /, '')))),
    end: () => void (state.isEnded = true),
    cut: () => {},
    isAllowed: () => Promise.resolve(true),
    ...more,
  };
  return { read, state };
}

test('all readers share one look a second; each gets every request once, also after it was slow', async () => {
  const { feed, recent, seen } = startFeed();
  recent.add(LINE);
  let isFull = true;
  const [fast, slow] = [reader('a'), reader('b', { isFull: () => isFull })];
  const closes = [feed.open(fast.read), feed.open(slow.read)];
  await eventually('the first event', () => fast.state.views.length === 1, 5_000);
  recent.add({ ...LINE, requestId: 'second', callerRequestId: 'x', prompt: 'canary' });
  recent.add({ ...LINE, dialect: 'console' });
  await eventually('the second event', () => fast.state.views.length === 2, 5_000);
  expect(slow.state.views).toEqual([]);
  isFull = false;
  await eventually('the slow one gets all', () => slow.state.views.length === 1, 5_000);
  const ids = (views: readonly LiveView[]) => views.map(({ requests }) => requests.map(({ requestId }) => requestId));
  expect(ids(fast.state.views)).toEqual([['of-client'], ['second']]);
  expect(ids(slow.state.views)).toEqual([['second', 'of-client']]);
  expect(JSON.stringify(slow.state.views)).not.toContain('canary');
  for (const close of closes) close();
  const { reads } = seen;
  // 2 commands for each of 2 queues, in each of at most 4 looks
  expect(reads).toBeLessThanOrEqual(16);
});

test('a gateway remembers the last requests only, newest first', () => {
  const recent = new RecentRequests();
  for (let at = 0; at < LIVE_REQUESTS + 5; at += 1) recent.add({ ...LINE, requestId: String(at) });
  const all = recent.since(0);
  expect([all.length, all[0]?.requestId, all.at(-1)?.requestId]).toEqual([LIVE_REQUESTS, '204', '5']);
  expect(recent.since(recent.count)).toEqual([]);
});

test('a gateway and a key have only so many connections; a closed one leaves its place', () => {
  const { feed } = startFeed();
  const open = (key: string) => feed.open(reader(key).read);
  const closes = Array.from({ length: 20 }, (_, at) => open(`key-${at % 4}`));
  const refused = expect.objectContaining({ code: 'rate_limit_exceeded' });
  expect(() => open('key-9')).toThrow(refused);
  closes.pop()?.();
  expect(() => open('key-0')).toThrow(refused);
  closes.push(open('key-9'));
  for (const close of closes) close();
});

test('a connection ends when its key no longer allows it, and all end when the gateway leaves', async () => {
  const { feed, seen } = startFeed();
  const [revoked, other] = [reader('a', { isAllowed: () => Promise.resolve(false) }), reader('b')];
  const closes = [feed.open(revoked.read), feed.open(other.read)];
  await eventually('the first ends', () => revoked.state.isEnded, 5_000);
  expect([revoked.state.views, other.state.isEnded]).toEqual([[], false]);
  seen.stage = 'leaving';
  await eventually('the second ends', () => other.state.isEnded, 5_000);
  expect(() => feed.open(reader('c').read)).toThrow(expect.objectContaining({ code: 'shutting_down' }));
  for (const close of closes) close();
});

test('while Redis is silent, its part is unknown, and the rest is shown', async () => {
  const { feed } = startFeed({ redisMs: 60_000 });
  const one = reader('a');
  const close = feed.open(one.read);
  await eventually('an event', () => one.state.views.length > 0, 5_000);
  expect(one.state.views[0]?.queues[0]).toMatchObject({ waiting: null, expectedWaitMs: null });
  expect(one.state.views[0]?.admission).toEqual({ admitted: 1 });
  close();
});
