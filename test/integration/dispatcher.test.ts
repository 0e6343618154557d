import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { decodeFrames, type Frame } from '#contract/frame';
import { BODY_GRACE_MS, JOB_OPTIONS, jobId, type JobV1 } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { AnswerLogs } from '../../worker-launcher/dispatch/answer-logs.ts';
import { Dispatcher } from '../../worker-launcher/dispatch/dispatcher.ts';
import { EngineSlots } from '../../worker-launcher/dispatch/engine-slots.ts';
import { Publisher } from '../../worker-launcher/dispatch/publisher.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { silentLog } from '../support/silent-log.ts';

const MODEL = 'm';
let server: TestRedis;
const cleanUps: (() => Promise<unknown> | void)[] = [];
let replicas = 0;

beforeAll(async () => {
  server = await startRedis();
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await server.client.flushall();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function connect(): Redis {
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  cleanUps.push(() => redis.disconnect());
  return redis;
}

/** A dispatcher over the given engines, and a replica's end of the reply stream. */
async function start(engines: readonly FakeEngine[], slots = { text: 2, image: 1 }) {
  replicas += 1;
  const replica = `g${replicas}`;
  await server.client.xadd(redisKeys.replies(replica), '*', 's', '', 'b', '');
  const replies = connect();
  const suspects: string[] = [];
  const engineSlots = new EngineSlots(() => {});
  const publisher = new Publisher(replies, `d${replica}`, silentLog, {
    gone: (gone) => dispatcher.replicaGone(gone),
    behind: (late, behind) => dispatcher.replicaBehind(late, behind),
  });
  const dispatcher = new Dispatcher({
    redis: connect(),
    connectBlocking: connect,
    incarnation: `d${replica}`,
    slots: engineSlots,
    leftBodies: { add: () => {} },
    log: silentLog,
    publisher,
    logs: new AnswerLogs(connect(), `d${replica}`, silentLog, {
      superseded: () => {},
      full: () => {},
      copies: publisher,
    }),
    readBody: async ({ model, requestId }) => {
      const key = redisKeys.body(model, requestId);
      const [bytes, ttlMs] = await Promise.all([replies.getBuffer(key), replies.pttl(key)]);
      return { bytes, ttlMs };
    },
    leaseAlive: async (name) => (await replies.exists(redisKeys.replies(name))) === 1,
    onAnswer: () => {},
    onSuspect: (engine) => suspects.push(engine),
  });
  cleanUps.push(async () => {
    dispatcher.abandon('test over');
    await dispatcher.drain(2_000);
    await publisher.close();
  });
  const setEngines = async (states: readonly ('ready' | 'starting')[]): Promise<void> => {
    engineSlots.update(
      engines.map(({ port }, index) => ({
        id: `engine-${index}`,
        model: MODEL,
        pid: 1_000 + index,
        port,
        state: states[index] ?? 'starting',
        slots,
      })),
    );
    dispatcher.adjust();
  };
  await setEngines(engines.map(() => 'ready'));
  const queue = new Queue('text', { connection: connect(), prefix: redisKeys.queuePrefix(MODEL) });
  const add = async (
    n: number,
    options: Partial<JobV1> & { ttlMs?: number; body?: string | null } = {},
  ): Promise<string> => {
    const { ttlMs = 60_000, body = JSON.stringify({ n }), ...rest } = options;
    const requestId = `${replica}-${n}`;
    const base = { v: 1, requestId, epoch: 1, model: MODEL, kind: 'text', deadlineMs: 60_000 } as const;
    const job: JobV1 = { ...base, replica, path: '/v1/chat/completions', ...rest };
    if (body !== null) await server.client.set(redisKeys.body(MODEL, requestId), body, 'PX', ttlMs + BODY_GRACE_MS);
    await queue.add('text', job, { ...JOB_OPTIONS, priority: 1, jobId: jobId(requestId, job.epoch) });
    return requestId;
  };
  const frames = async (requestId: string): Promise<Frame[]> => {
    const entries = await server.client.xrangeBuffer(redisKeys.replies(replica), '-', '+');
    return entries
      .flatMap(([, fields]) => decodeFrames(fields[3] ?? Buffer.alloc(0)))
      .filter((f) => f.requestId === requestId);
  };
  const frame = (requestId: string, type: Frame['type']) =>
    eventually(`${type} of ${requestId}`, async () => (await frames(requestId)).find((one) => one.type === type));
  return { dispatcher, add, frames, frame, queue, setEngines, suspects, replica };
}
const json = (frame: Frame): unknown => JSON.parse(frame.payload.toString());

test('an answer arrives as claimed, head, data, end, with unchanged bytes', async () => {
  await using engine = await startFakeEngine((res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.end('data: {"x":"ä"}\n\ndata: [DONE]\n\n');
  });
  const { add, frame, frames } = await start([engine]);
  const id = await add(1, { body: '{"model":"m","x":1}' });
  await frame(id, 'end');
  const all = await frames(id);
  expect(all.map(({ type }) => type).filter((type, i, list) => type !== list[i - 1])).toEqual([
    'claimed',
    'head',
    'data',
    'end',
  ]);
  expect(Buffer.concat(all.filter(({ type }) => type === 'data').map(({ payload }) => payload)).toString()).toBe(
    'data: {"x":"ä"}\n\ndata: [DONE]\n\n',
  );
  expect(engine.requests[0]?.body).toEqual({ model: 'm', x: 1 });
  expect(engine.requests[0]?.headers['x-request-id']).toBe(`${id}-1-1`);
});

test('the emptiest engine gets the request; beyond the slots, requests wait in the queue', async () => {
  const held: (() => void)[] = [];
  const hold = (res: { end: (text: string) => void }): void => void held.push(() => res.end('{}'));
  await using a = await startFakeEngine(hold);
  await using b = await startFakeEngine(hold);
  const { add, frame, queue } = await start([a, b]);
  const ids = [];
  for (let n = 1; n <= 5; n += 1) ids.push(await add(n));
  await eventually('both engines full', () => a.requests.length === 2 && b.requests.length === 2);
  expect(await queue.getJobCountByTypes('waiting', 'prioritized')).toBe(1);
  held[0]?.();
  await eventually('the fifth is taken', () => held.length === 5);
  for (const release of held) release();
  for (const id of ids) await frame(id, 'end');
});

test('cancel closes the engine’s socket immediately and frees the slot', async () => {
  await using engine = await startFakeEngine((res) => res.writeHead(200).flushHeaders());
  const { add, frame, dispatcher } = await start([engine]);
  const id = await add(1);
  await frame(id, 'head');
  const at = performance.now();
  dispatcher.control({ type: 'cancel', requestId: id, epoch: 1, attempt: 1 });
  const abortedAt = await eventually('abort', () => engine.requests[0]?.abortedAt);
  expect(abortedAt - at).toBeLessThan(1_000);
  await eventually('the slot is free', () => dispatcher.inFlight === 0);
});

test('a retried attempt waits for go, and runs after it', async () => {
  await using engine = await startFakeEngine((res) => res.end('{}'));
  const { add, frame, dispatcher } = await start([engine]);
  const id = await add(1, { epoch: 2 });
  expect(json(await frame(id, 'claimed'))).toMatchObject({ waits: true });
  expect(engine.requests).toHaveLength(0);
  dispatcher.control({ type: 'go', requestId: id, epoch: 2, attempt: 1 });
  await frame(id, 'end');
  expect(engine.requests).toHaveLength(1);
});

test('a repeat that is not cleared to start is handed back while its replica runs, and finished once it has stopped', async () => {
  await using engine = await startFakeEngine((res) => res.end('{}'));
  const { add, frames, queue, replica } = await start([engine]);
  const id = await add(1, { epoch: 2 });
  const claims = async (): Promise<number> => (await frames(id)).filter(({ type }) => type === 'claimed').length;
  await eventually('picked up again', async () => (await claims()) >= 2);
  await server.client.del(redisKeys.replies(replica));
  await eventually('finished', async () => (await queue.getJobCountByTypes('completed')) === 1);
  expect(engine.requests).toHaveLength(0);
});

test.each([
  ['its body is gone', { body: null }, 'body_lost'],
  ['its deadline passed in the queue', { ttlMs: -1 }, 'expired'],
])('a job never reaches an engine if %s', async (_what, options, reason) => {
  await using engine = await startFakeEngine((res) => res.end('{}'));
  const { add, frame } = await start([engine]);
  const id = await add(1, options);
  expect(json(await frame(id, 'error'))).toMatchObject({ reason });
  expect(engine.requests).toHaveLength(0);
});

test('an engine that breaks the connection: the bytes so far, then worker_lost, and a report to the launcher', async () => {
  await using engine = await startFakeEngine((res) => {
    res.writeHead(200);
    res.write('data: 1\n\n', () => res.destroy());
  });
  const { add, frame, frames, suspects } = await start([engine]);
  const id = await add(1);
  expect(json(await frame(id, 'error'))).toMatchObject({ reason: 'worker_lost' });
  expect((await frames(id)).map(({ type }) => type)).toEqual(['claimed', 'head', 'data', 'error']);
  expect(suspects).toEqual(['engine-0']);
});

test('without a ready engine jobs wait in the queue, and continue when one is ready', async () => {
  await using engine = await startFakeEngine((res) => res.end('{}'));
  const { add, frame, setEngines } = await start([engine]);
  await setEngines(['starting']);
  const id = await add(1);
  await setEngines(['ready']);
  await frame(id, 'end');
  expect(engine.requests).toHaveLength(1);
});

test('the replica is killed during an answer: the generation is aborted', async () => {
  await using engine = await startFakeEngine((res) => {
    res.writeHead(200);
    const timer = setInterval(() => res.write('data: 1\n\n'), 20);
    res.on('close', () => clearInterval(timer));
  });
  const { add, frame, replica } = await start([engine]);
  const id = await add(1);
  await frame(id, 'data');
  await server.client.del(redisKeys.replies(replica));
  await eventually('abort', () => engine.requests[0]?.abortedAt);
  expect(await server.client.exists(redisKeys.replies(replica))).toBe(0);
});

const DYING = '{"error":{"message":"EngineCore encountered an issue. See stack trace","type":"InternalServerError"}}';
const FAULTS: readonly (readonly [what: string, status: number, pieces: readonly string[], suspected: boolean])[] = [
  ['an error status', 500, [DYING], true],
  ['an error event', 200, ['data: {"x":1}\n\n', `data: ${DYING}\n\n`, 'data: [DONE]\n\n'], true],
  ['a fault of one request', 500, ['{"error":{"message":"Cannot connect to host"}}'], false],
  ['an answer about engines', 200, [`data: ${JSON.stringify({ x: `data: ${DYING}` })}\n\n`, 'data: [DONE]\n\n'], false],
];
test.each(FAULTS)(
  '%s: an engine that reports its own shutdown is out of dispatch, others stay',
  async (_what, ...how) => {
    const [status, pieces, suspected] = how;
    await using engine = await startFakeEngine((res) => {
      res.writeHead(status, { 'content-type': 'text/event-stream' });
      for (const piece of pieces) res.write(piece);
      res.end();
    });
    const { add, frame, suspects } = await start([engine]);
    await frame(await add(1), 'end');
    expect(suspects).toEqual(suspected ? ['engine-0'] : []);
  },
);

test('H2: a job of a newer version returns to the queue for a newer worker; an invalid job fails', async () => {
  await using engine = await startFakeEngine((res) => void res.end('{}'));
  const { add, queue, frame } = await start([engine]);
  await queue.add('text', { v: 2, what: 'is new' }, { ...JOB_OPTIONS, priority: 1, jobId: 'newer-1' });
  await queue.add('text', { v: 1, what: 'is missing' }, { ...JOB_OPTIONS, priority: 1, jobId: 'broken-1' });
  await eventually('picked up and handed back twice', async () => {
    const job = await queue.getJob('newer-1');
    return (job?.attemptsStarted ?? 0) >= 2 && (await job?.getState()) === 'delayed';
  });
  await eventually('failed', async () => (await (await queue.getJob('broken-1'))?.getState()) === 'failed');
  expect(engine.requests).toEqual([]);
  await frame(await add(1), 'end');
});
