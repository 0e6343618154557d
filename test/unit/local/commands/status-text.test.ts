import { expect, test } from '@jest/globals';
import { statusFacts } from '../../../../deploy/local/commands/status-facts.mjs';
import { statusText } from '../../../../deploy/local/commands/status-text.mjs';

const MODEL = 'a-model-of-a-very-long-name-that-no-terminal-shows-in-one-piece-128k-instruct';
const NODE = 'aks-nc48-24601337-vmss00000a.internal.example';
const well = { state: 'ok', since: '', latencyMs: 0.4, evictionPolicy: 'noeviction', evictedKeys: 0, restarts: 0 };
const load = { text: 0, image: 0 };
const slots = { text: 64, image: 8 };
const engine = {
  id: 'engine-0',
  model: MODEL,
  pid: 1,
  port: 1,
  state: 'ready',
  slots,
  inFlight: { text: 3, image: 1 },
};
const worker = {
  incarnation: 'w',
  pid: 3,
  launcherPid: 2,
  node: NODE,
  pool: 'nc48',
  draining: false,
  engines: [engine],
};
const gateway = (more: object) => ({
  url: 'http://gateway-0.gateway.penstock.svc.cluster.local:9090',
  status: {
    program: 'gateway',
    replica: 'g0123456789',
    stage: 'serving',
    openRequests: 4,
    redis: { queue: well },
    workers: [worker],
    waiting: [{ model: MODEL, text: 2, image: 0 }],
    queues: [
      {
        model: MODEL,
        kind: 'text',
        expectedWaitMs: 61_234,
        requestsPerSecond: 12.34,
        bookings: 3,
        keys: [{ key: 'team-a', class: 'flex', backlogMs: 4_321 }],
      },
    ],
    admission: { admitted: 100, rejected_queue_jobs: 4, rejected_late: 0 },
    logLinesDropped: 12,
    ...more,
  },
});
const launcher = {
  url: 'http://worker-0.worker.penstock.svc.cluster.local:9090',
  status: {
    launcher: { pid: 2, node: NODE, pool: 'nc48', draining: true },
    model: MODEL,
    engine: 'vllm',
    redis: { queue: { ...well, state: 'away', latencyMs: null, evictionPolicy: 'volatile-lru', evictedKeys: 7 } },
    engines: [
      { ...engine, inFlight: load, state: 'backoff', stage: null, lastFailure: `the GPU ${'fell out '.repeat(30)}` },
    ],
  },
};

test('long names and sentences fit 80 columns, and the sentences stay complete', () => {
  const facts = statusFacts({ gateways: [gateway({}), gateway({ stage: 'draining' })], launchers: [launcher] });
  const text = statusText(facts);
  expect(Math.max(...text.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(80);
  expect(text.replaceAll(/\n */g, ' ')).toContain(`last failure: the GPU ${'fell out '.repeat(30)}`);
  expect(text).toMatch(/^g0123456789 +serving +4 +12 lost +http:\S+…$/m);
});

test('queues, the backlog of each key, and what both gateways refused', () => {
  const facts = statusFacts({ gateways: [gateway({}), gateway({})], launchers: [] });
  const text = statusText(facts);
  expect(text).toMatch(/^a-model\S+… +text +61\.2 s +12\.3 +3$/m);
  expect(text).toMatch(/^team-a +flex +a-model\S+… +text +4\.3 s$/m);
  expect(text).toMatch(/^refused +requests\nrejected_queue_jobs +8$/m);
  expect(text).not.toContain('rejected_late');
});

test('a gateway of an earlier release, without these facts, is shown too', () => {
  const facts = statusFacts({ gateways: [gateway({ queues: undefined, admission: undefined })], launchers: [] });
  expect(facts).toMatchObject({ queues: [], refusals: {}, waiting: [{ model: MODEL, text: 2 }] });
  expect(statusText(facts)).not.toContain('booked');
});

test("a launcher's report of its engine wins over a gateway's; each Redis is listed once per state", () => {
  const facts = statusFacts({ gateways: [gateway({}), gateway({ replica: 'g2' })], launchers: [launcher] });
  expect(facts.pools).toMatchObject([{ name: 'nc48', ready: 0, engines: [{ id: 'engine-0', state: 'backoff' }] }]);
  expect(facts.redis).toMatchObject([
    { name: 'queue', state: 'ok', seenBy: ['g0123456789', 'g2'], latencyMs: 0.4 },
    { name: 'queue', state: 'away', seenBy: [`worker-launcher of ${NODE}`], latencyMs: null },
  ]);
  expect(facts.problems).toEqual([
    `the worker-launcher at ${launcher.url} is draining`,
    expect.stringMatching(`^engine-0 of ${NODE} is not ready: backoff`),
    `no engine of ${MODEL} is ready`,
    `the Redis of queue is away, seen by worker-launcher of ${NODE}`,
    'the Redis of queue may evict requests (policy volatile-lru, 7 keys evicted): set its maxmemory-policy to noeviction',
  ]);
});

test('where only a gateway reports an engine, its stage and last failure are named too', () => {
  const down = {
    ...engine,
    state: 'starting',
    stage: 'loading weights, 40 %',
    lastFailure: 'the GPU ran out of memory',
  };
  const facts = statusFacts({ gateways: [gateway({ workers: [{ ...worker, engines: [down] }] })], launchers: [] });
  expect(facts.problems).toContain(
    `engine-0 of ${NODE} is not ready: starting (loading weights, 40 %; last failure: the GPU ran out of memory)`,
  );
});

test('an issuer of tokens is listed once per state; one that fails is a problem, with what that means', () => {
  const issuer = { provider: 'entra', issuer: 'https://login.example/v2.0', state: 'ok', trouble: null, keys: 3 };
  const failing = { ...issuer, state: 'failing', trouble: 'status 500' };
  const facts = statusFacts({
    gateways: [
      gateway({ issuers: [issuer] }),
      gateway({ replica: 'g2', issuers: [failing] }),
      gateway({ replica: 'g3', issuers: [failing] }),
    ],
    launchers: [],
  });
  expect(facts.issuers).toEqual([
    { ...issuer, seenBy: ['g0123456789'] },
    { ...failing, seenBy: ['g2', 'g3'] },
  ]);
  expect(facts.problems).toContain(
    'the keys of the issuer https://login.example/v2.0 cannot be read (status 500), seen by g2, g3: its keys that were read before stay in use',
  );
  expect(statusText(facts)).toMatch(/^https:\/\/login\.example\/v2\.0 +failing +3 +entra$/m);
});

test('control characters for a terminal are not printed', () => {
  const failure = { ...launcher.status.engines[0], lastFailure: '\u001b[2Jgone' };
  const text = statusText(
    statusFacts({ gateways: [], launchers: [{ ...launcher, status: { ...launcher.status, engines: [failure] } }] }),
  );
  expect(text).toContain('[2Jgone');
  expect(text).not.toContain('\u001b');
});

test.each([undefined, 'a page', {}, { program: 'gateway' }, { launcher: {} }])(
  '%j is not an answer of gateway or launcher',
  (status) => {
    const facts = statusFacts({ gateways: [{ url: 'http://g', status }], launchers: [{ url: 'http://l', status }] });
    expect(facts.problems).toEqual(['no gateway answers at http://g', 'no worker-launcher answers at http://l']);
  },
);
