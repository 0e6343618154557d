import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { redisKeys } from '#contract/redis-keys';
import { WorkerReport } from '#contract/registry';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { eventually } from '../support/eventually.ts';
import { lives, startLauncher } from '../support/launcher.ts';
import { freePort } from '#runtime/free-port';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { temporaryFolder } from '../support/start-process.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

test('F6: an unknown path of the internal port is refused in the gateway’s form, not with a page', async () => {
  await using launcher = await startLauncher(redis.url, {});
  await launcher.pids();
  const refused = await launcher.get('/nothing');
  expect([refused.status, await refused.json()]).toEqual([
    404,
    { error: { code: 'route_not_found', message: 'no route for GET /nothing' } },
  ]);
});

test('two engines enter service, and probes, status, metrics and the registry report them', async () => {
  await using launcher = await startLauncher(redis.url, { WORKER_ENGINES: '2', WORKER_MAX_IN_FLIGHT_TEXT: '3' });
  await launcher.pids();
  await eventually('both engines', async () => (await launcher.get('/startupz')).ok);
  expect((await launcher.get('/livez')).status).toBe(200);
  const status = await launcher.status();
  expect(status).toMatchObject({ model: 'Phi-3-vision-128k-instruct', engine: 'vllm', launcher: { draining: false } });
  expect(status.engines.map(({ id, state, slots }) => ({ id, state, slots }))).toEqual([
    { id: 'engine-0', state: 'ready', slots: { text: 3, image: 32 } },
    { id: 'engine-1', state: 'ready', slots: { text: 3, image: 32 } },
  ]);
  const metrics = await (await launcher.get('/metrics')).text();
  expect(metrics).toContain('penstock_engine_state{engine="engine-1",state="ready"} 1');
  expect(metrics).toContain('penstock_engine_in_flight{engine="engine-0",kind="image"} 0');
  const reported = await eventually('the registry', async () => {
    const text = await redis.client.get(redisKeys.workerOf(status.model, status.dispatchers[0]?.incarnation ?? ''));
    const report = WorkerReport.parse(JSON.parse(text ?? '{}'));
    return report.engines.every(({ state }) => state === 'ready') && report;
  });
  expect(reported.launcherPid).toBe(status.launcher.pid);
  expect(reported.engines.map(({ pid }) => pid)).toEqual(status.engines.map(({ pid }) => pid));
});

test('SIGTERM ends everything in order', async () => {
  await using launcher = await startLauncher(redis.url);
  const pids = await launcher.pids();
  launcher.child.kill('SIGTERM');
  expect(await launcher.ended).toBe(0);
  expect(pids.filter(lives)).toEqual([]);
  expect(pids.flatMap(groupMembers)).toEqual([]);
  expect(launcher.stderr()).toBe('');
});

test('a crashed engine is counted and replaced while the launcher stays', async () => {
  await using launcher = await startLauncher(redis.url);
  const [, , engine = 0] = await launcher.pids();
  process.kill(engine, 'SIGKILL');
  const { engines } = await eventually('another engine', async () => {
    const status = await launcher.status();
    return status.engines[0]?.state === 'ready' && status.engines[0].pid !== engine && status;
  });
  expect(engines[0]).toMatchObject({ restarts: 1, lastFailure: 'was ended by SIGKILL' });
  const metrics = await (await launcher.get('/metrics')).text();
  expect(metrics).toContain('penstock_engine_restarts_total{reason="exited"} 1');
});

test('the launcher is killed: its engines and dispatchers end, and a new launcher takes over', async () => {
  const port = String(await freePort());
  await using launcher = await startLauncher(redis.url, { WORKER_INTERNAL_PORT: port });
  const pids = await launcher.pids();
  launcher.child.kill('SIGKILL');
  await eventually('the end of all', () => pids.every((pid) => groupMembers(pid).length === 0));
  await using next = await startLauncher(redis.url, { WORKER_INTERNAL_PORT: port });
  await next.pids();
});

test('the launcher’s parent exits: launcher and children exit within eight seconds', async () => {
  await using launcher = await startLauncher(redis.url);
  const pids = await launcher.pids();
  const since = performance.now();
  launcher.child.disconnect();
  expect(await launcher.ended).toBe(0);
  expect(performance.now() - since).toBeLessThan(8_000);
  expect(pids.flatMap(groupMembers)).toEqual([]);
});

test('a wrong setting ends the launcher with one sentence', async () => {
  const taken = String(new URL(redis.url).port);
  const free = await freePort();
  using open = temporaryFolder();
  chmodSync(open.path, 0o755);
  const cases: [Record<string, string>, string, string][] = [
    [{ WORKER_ENGINES: 'many', WORKER_NONSENSE: '1' }, redis.url, 'WORKER_NONSENSE: unknown setting'],
    [{ WORKER_MODEL: 'nobody' }, redis.url, 'set WORKER_MODEL to one of the model cards: Phi-3-vision-128k-instruct'],
    [{ WORKER_INTERNAL_PORT: taken }, redis.url, `port ${taken} of 127.0.0.1 (WORKER_INTERNAL_PORT) is in use`],
    [{}, `redis://127.0.0.1:${free}`, `Redis at 127.0.0.1:${free} refuses connections`],
    [{ WORKER_MODELS_DIR: '/nowhere' }, redis.url, 'WORKER_MODELS_DIR: /nowhere cannot be read (ENOENT)'],
    // F3
    [
      { WORKER_STATE_DIR: '/proc/x/y' },
      redis.url,
      'the folder /proc/x/y (WORKER_STATE_DIR) cannot be created (ENOENT)',
    ],
    // N13: the folder of the sockets
    [
      { WORKER_STATE_DIR: `/tmp/${'x'.repeat(100)}` },
      redis.url,
      'Set WORKER_STATE_DIR to a folder with a shorter path',
    ],
    [{ WORKER_STATE_DIR: open.path }, redis.url, `other users can enter the folder ${open.path} (WORKER_STATE_DIR)`],
  ];
  for (const [env, url, sentence] of cases) {
    await using launcher = await startLauncher(url, env);
    expect(await launcher.ended).toBe(1);
    expect(launcher.stderr()).toContain(sentence);
    expect(launcher.stderr()).not.toContain('    at ');
  }
});
