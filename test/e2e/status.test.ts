import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { penstock, type Commanded } from '../support/penstock-command.ts';
import { cleanEnv, PENSTOCK, runStart, temporaryFolder, type StartProcess } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

const MODEL = 'Phi-3-vision-128k-instruct';
const folder = temporaryFolder();
let port: number;
let run: StartProcess;
beforeAll(async () => {
  port = await freePorts(3);
  const options = ['--port', String(port), '--data-dir', folder.path, '--engine', 'simulator', '--engines', '2'];
  run = runStart([process.execPath, PENSTOCK, 'up', ...options], folder.path, cleanEnv());
  await run.says(/^ready /m, 60_000);
}, 90_000);
afterAll(async () => {
  await run[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
}, 30_000);

const internal = (offset: number): string => `http://127.0.0.1:${port + offset}`;
const status = (...args: string[]): Promise<Commanded> => penstock(['status', '--data-dir', folder.path, ...args]);
const pidOf = (name: string): number => run.noted().find((one) => one.name === name)?.pid ?? 0;
/** Waits for this verdict. */
const says = (code: number, pattern: RegExp): Promise<Commanded | undefined> =>
  eventually(
    `status ends with ${code} and ${pattern}`,
    async () => {
      const seen = await status();
      return seen.code === code && pattern.test(seen.stdout) ? seen : undefined;
    },
    60_000,
  );

test('a healthy stack: exit code 0, every part in a line of at most 80 columns', async () => {
  const { stdout } = (await says(0, /^healthy\n/)) ?? { stdout: '' };
  expect(stdout).toMatch(new RegExp(`^g\\S+ +serving +0 +ok +${internal(1)}$`, 'm'));
  expect(stdout).toMatch(new RegExp(`^\\S+ +default +serving +simulator +ok +${internal(2)}$`, 'm'));
  expect(stdout).toMatch(/^default +\S+ +engine-0 +Phi-3-visio\S* +ready +0\/\d+ +0\/\d+$/m);
  expect(stdout).toMatch(/^default +\S+ +engine-1 /m);
  expect(stdout).toMatch(new RegExp(`^${MODEL} +0 +0$`, 'm'));
  expect(stdout).toMatch(/^queue +ok +[\d.]+ ms +noeviction +0 +0$/m);
  expect(stdout).toMatch(/^replies +ok +[\d.]+ ms +noeviction +0 +0$/m);
  expect(Math.max(...stdout.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(80);
}, 90_000);

test('--json has the same facts; programs can also be named by URL, with or without /status', async () => {
  const { code, stdout } = await penstock([
    'status',
    '--json',
    '--gateway-url',
    `${internal(1)}/status`,
    '--launcher-url',
    `${internal(2)}/`,
  ]);
  expect(code).toBe(0);
  const load = { text: expect.any(Number), image: expect.any(Number) };
  const engine = { node: expect.any(String), model: MODEL, state: 'ready', running: load, room: load };
  const redis = { state: 'ok', evictionPolicy: 'noeviction', evictedKeys: 0, restarts: 0, seenBy: { length: 2 } };
  expect(JSON.parse(stdout)).toMatchObject({
    well: true,
    problems: [],
    gateways: [{ url: internal(1), state: 'serving', openRequests: 0, logLinesDropped: 0 }],
    launchers: [{ url: internal(2), pool: 'default', state: 'serving', engine: 'simulator', logLinesDropped: 0 }],
    pools: [
      {
        name: 'default',
        ready: 2,
        engines: [
          { ...engine, id: 'engine-0', stage: null, lastFailure: null },
          { ...engine, id: 'engine-1', stage: null, lastFailure: null },
        ],
      },
    ],
    waiting: [{ model: MODEL, text: 0, image: 0 }],
    redis: [
      { ...redis, name: 'queue', latencyMs: expect.any(Number) },
      { ...redis, name: 'replies', latencyMs: expect.any(Number) },
    ],
    issuers: [],
  });
}, 60_000);

test('an engine that is down is named with its state and cause; the gateway alone also reports it', async () => {
  const killEngine = async (): Promise<void> => {
    const answer = (await (await fetch(`${internal(2)}/status`)).json()) as {
      engines: { id: string; pid: number | null }[];
    };
    const pid = answer.engines.find(({ id }) => id === 'engine-1')?.pid ?? null;
    if (pid !== null) process.kill(pid, 'SIGKILL');
  };
  // Each crash makes the wait before the restart longer, until a check falls into it.
  const seen = await eventually(
    'status shows it',
    async () => {
      await killEngine();
      const looked = await status();
      return looked.code === 1 ? looked : undefined;
    },
    60_000,
  );
  expect(seen.stdout).toMatch(/^not healthy:\n- engine-1 of \S+ is not ready: /);
  expect(seen.stdout.replaceAll(/\n {2}/g, ' ')).toContain('last failure: ');
  expect(Math.max(...seen.stdout.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(80);
  await eventually(
    'the gateway tells of it',
    async () => {
      await killEngine();
      const { code, stdout } = await penstock(['status', '--gateway-url', internal(1)]);
      return code === 1 && stdout.includes('- engine-1 of ');
    },
    60_000,
  );
  await says(0, /^healthy/);
}, 150_000);

test('a silent Redis is named; waiting requests are unknown; afterwards it is healthy again', async () => {
  process.kill(pidOf('redis'), 'SIGSTOP');
  try {
    const seen = await says(1, /^- the Redis of queue is (silent|away)/m);
    expect(seen?.stdout).toMatch(/^queue +(silent|away) /m);
    expect(seen?.stdout).toMatch(new RegExp(`^${MODEL} +- +-$`, 'm'));
    expect(seen?.stdout).toMatch(/^replies +ok /m);
  } finally {
    process.kill(pidOf('redis'), 'SIGCONT');
  }
  await says(0, /^healthy/);
}, 150_000);

test('a gateway that does not answer is named, the other parts are shown', async () => {
  process.kill(pidOf('gateway'), 'SIGSTOP');
  try {
    const { code, stdout } = await status();
    expect(code).toBe(1);
    expect(stdout).toContain(`not healthy:\n- no gateway answers at ${internal(1)}\n`);
    expect(stdout).toMatch(/^default +\S+ +engine-0 .* ready /m);
  } finally {
    process.kill(pidOf('gateway'), 'SIGCONT');
  }
}, 60_000);

test.each([
  [
    ['--data-dir', 'FOLDER/none'],
    'no penstock up uses the data folder FOLDER/none: set --data-dir, --gateway-url or --launcher-url',
  ],
  [['--data-dir', ''], "--data-dir takes a folder, not ''"],
  [
    ['--gateway-url', 'http://127.0.0.1:1'],
    'no gateway answers at http://127.0.0.1:1: check that these are internal ports',
  ],
  [['--gateway-url', 'PUBLIC'], 'no gateway answers at PUBLIC: check that these are internal ports'],
  [['--launcher-url', 'redis://x'], "--launcher-url takes a URL such as http://127.0.0.1:8081, not 'redis://x'"],
  [['--gateway', 'x'], "Unknown option '--gateway'; see penstock status --help"],
])(
  '%j: exit code 2 and one sentence',
  async (args, sentence) => {
    const own = (text: string): string => text.replace('FOLDER', folder.path).replace('PUBLIC', internal(0));
    const { code, stdout, stderr } = await penstock(['status', ...args.map(own)]);
    expect([code, stdout, stderr]).toEqual([2, '', `penstock: ${own(sentence)}\n`]);
  },
  60_000,
);

test('--help lists the options and the exit codes, in 80 columns', async () => {
  const { code, stdout } = await penstock(['status', '--help']);
  expect(code).toBe(0);
  expect(stdout).toContain('Exit code 0: healthy');
});
