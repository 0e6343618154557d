import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { eventually } from '../support/eventually.ts';
import { startRedis } from '../support/redis.ts';
import { cleanEnv, isAlive, ROOT, runStart, temporaryFolder, type StartProcess } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';

/** The parts of a program that a start uses; BEHAVIOUR makes it fail. */
const STAND_IN = `
import { createServer } from 'node:http';
const kind = process.argv[1].includes('gateway') ? 'GATEWAY' : 'WORKER';
const how = process.env['BEHAVIOUR_' + kind] ?? '';
if (how === 'refuses') { process.stderr.write('bad configuration: X is not a number\\n'); process.exit(1); }
if (how === 'throws') throw new RangeError('X is too large');
const serve = (req, res) => {
  const probe = req.url.endsWith('z') || req.url.includes('?');
  if (probe) return res.writeHead(how === 'never-ready' && req.url.startsWith('/readyz') ? 503 : 200).end('text');
  const engine = how === 'gives-up' ? { state: 'stopped', lastFailure: 'no such flag' } : { state: 'ready', lastFailure: null };
  res.writeHead(200, { 'content-type': 'application/json' });
  return res.end(JSON.stringify({ engines: [{ id: 'engine-0', pid: null, ...engine }], model: 'stand-in-model' }));
};
for (const name of [kind + '_PORT', kind + '_INTERNAL_PORT']) {
  if (process.env[name]) createServer(serve).listen(Number(process.env[name]), '127.0.0.1');
}
if (how === 'stubborn') process.on('SIGTERM', () => {});
else process.on('disconnect', () => process.exit(0));
`;

interface Asked {
  readonly gateways?: number;
  readonly launchers?: number;
  readonly redis?: string;
  readonly port?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** A start of stand-in programs. */
async function start(folder: string, asked: Asked = {}): Promise<StartProcess & { port: number }> {
  mkdirSync(join(folder, 'deploy/models'), { recursive: true });
  for (const name of ['gateway', 'launcher']) writeFileSync(join(folder, `${name}.mjs`), STAND_IN);
  const { gateways = 1, launchers = 1, redis, env } = asked;
  const port = asked.port ?? (await freePorts(2 * gateways + launchers));
  const dataDir = join(folder, 'data');
  const options = { port, gateways, launchers, redis, dataDir };
  const files = { gateway: join(folder, 'gateway.mjs'), launcher: join(folder, 'launcher.mjs') };
  writeFileSync(
    join(folder, 'start.mjs'),
    `import { up } from ${JSON.stringify(join(ROOT, 'deploy/local/up/up.mjs'))};
     const say = (line) => process.stdout.write(line + '\\n');
     const complain = (line) => process.stderr.write(line + '\\n');
     const setup = { root: ${JSON.stringify(folder)}, env: process.env, say, complain, files: ${JSON.stringify(files)} };
     process.exitCode = await up(${JSON.stringify(options)}, setup);`,
  );
  const run = runStart([process.execPath, join(folder, 'start.mjs')], dataDir, cleanEnv(env), folder);
  return Object.assign(run, { port });
}

const names = (run: StartProcess): string[] => run.noted().map(({ name }) => name);
const pidOf = (run: StartProcess, name: string): number => run.noted().find((one) => one.name === name)?.pid ?? 0;
async function allGone(pids: readonly number[]): Promise<void> {
  await eventually(`none of ${pids.join(', ')} is alive`, () => !pids.some(isAlive), 20_000);
}

test('a start prints ready on a line of its own, then two curl commands; pids.json names every process', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path);
  await run.says(new RegExp(`^ready http://127\\.0\\.0\\.1:${run.port}$`, 'm'));
  await run.says(/^curl http:\S+\/v1\/chat\/completions .*stand-in-model.*'$/m);
  await run.says(/^curl http:\S+\/score .*input_string.*'$/m);
  expect(names(run)).toEqual(['start', 'guard', 'redis', 'reply-redis', 'gateway', 'worker-launcher']);
  expect(run.noted().every(({ pid }) => isAlive(pid))).toBe(true);
  expect(readdirSync(join(folder.path, 'data')).sort()).toEqual(
    expect.arrayContaining([
      'gateway.log',
      'pids.json',
      'redis',
      'redis.log',
      'reply-redis.log',
      'worker-launcher.log',
    ]),
  );
});

/** A client of the Redis of this name. */
function clientOf(run: StartProcess, name: string): Redis {
  const { url } = run.noted().find((one) => one.name === name) ?? {};
  return new Redis(url ?? '');
}

test('N12: two Redis, each with its own password, which no process list shows; the second keeps no file', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path);
  await run.says(/^ready /m);
  const passwords = new Set<string>();
  for (const [name, kept] of [
    ['redis', 'yes'],
    ['reply-redis', 'no'],
  ] as const) {
    const client = clientOf(run, name);
    const { port, password } = client.options;
    passwords.add(password ?? '');
    expect(password).toMatch(/^[0-9a-f]{48}$/);
    expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', kept]);
    expect(await client.config('GET', 'save')).toEqual(['save', '']);
    expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
    if (kept === 'no') {
      // The slow log and a crash report would quote prompts.
      expect(await client.config('GET', 'slowlog-log-slower-than')).toEqual(['slowlog-log-slower-than', '-1']);
      expect(await client.config('GET', 'crash-log-enabled')).toEqual(['crash-log-enabled', 'no']);
      expect(await client.config('GET', 'maxmemory')).toEqual(['maxmemory', String(2 * 1024 ** 3)]);
    }
    client.disconnect();
    const stranger = new Redis(Number(port)).on('error', () => {});
    await expect(stranger.ping()).rejects.toThrow('NOAUTH');
    stranger.disconnect();
    expect(readFileSync(`/proc/${pidOf(run, name)}/cmdline`, 'utf8')).not.toContain(password);
  }
  expect(passwords.size).toBe(2);
  expect(statSync(join(folder.path, 'data/pids.json')).mode & 0o777).toBe(0o600);
});

test('N12: an existing Redis for bodies and replies is used, and no other is started for them', async () => {
  using folder = temporaryFolder();
  await using redis = await startRedis();
  await using run = await start(folder.path, { env: { WORKER_REPLY_REDIS_URL: redis.url } });
  await run.says(/^ready /m);
  expect(names(run)).toEqual(['start', 'guard', 'redis', 'gateway', 'worker-launcher']);
  for (const [name, variable] of [
    ['gateway', 'GATEWAY_REPLY_REDIS_URL'],
    ['worker-launcher', 'WORKER_REPLY_REDIS_URL'],
  ] as const)
    expect(readFileSync(`/proc/${pidOf(run, name)}/environ`, 'utf8')).toContain(`${variable}=${redis.url}`);
});

test('N13: sockets are in the data folder, or in WORKER_STATE_DIR, because their path must be short', async () => {
  using folder = temporaryFolder();
  for (const [env, expected] of [
    [{}, join(folder.path, 'data/worker')],
    [{ WORKER_STATE_DIR: '/tmp/s' }, '/tmp/s'],
  ] as const) {
    await using run = await start(folder.path, { env });
    await run.says(/^ready /m);
    const environment = readFileSync(`/proc/${pidOf(run, 'worker-launcher')}/environ`, 'utf8').split('\0');
    expect(environment).toContain(`WORKER_STATE_DIR=${expected}`);
  }
});

test('SIGTERM ends everything in order, exits with 0 and leaves no pids.json', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, { gateways: 2, launchers: 2 });
  await run.says(/^gateway-2 http:/m);
  await run.says(/^ready /m);
  const pids = run.noted().map(({ pid }) => pid);
  expect(pids).toHaveLength(8);
  process.kill(run.pid, 'SIGTERM');
  expect(await run.ended).toMatchObject({ code: 0 });
  await allGone(pids);
  expect(run.stdout()).toMatch(/have exited\nredis has exited\nstopped in/);
  expect(run.noted()).toEqual([]);
});

test('kill -9 of the start process: Redis and the programs exit within 10 s', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path);
  await run.says(/^ready /m);
  const pids = run.noted().map(({ pid }) => pid);
  process.kill(run.pid, 'SIGKILL');
  await allGone(pids);
});

test('kill -9 of the start process while a program hangs: the guard kills that program too', async () => {
  using folder = temporaryFolder();
  const env = { BEHAVIOUR_GATEWAY: 'stubborn', GATEWAY_DRAIN_TIMEOUT_MS: '200', WORKER_DRAIN_TIMEOUT_MS: '200' };
  await using run = await start(folder.path, { env: { ...env, WORKER_ENGINE_STOP_TIMEOUT_MS: '200' } });
  await run.says(/^ready /m);
  const pids = run.noted().map(({ pid }) => pid);
  process.kill(run.pid, 'SIGKILL');
  await allGone(pids);
});

test('a program that ignores SIGTERM is killed, and a second Ctrl-C kills it immediately', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, {
    env: { BEHAVIOUR_GATEWAY: 'stubborn', GATEWAY_DRAIN_TIMEOUT_MS: '60000' },
  });
  await run.says(/^ready /m);
  const pids = run.noted().map(({ pid }) => pid);
  process.kill(run.pid, 'SIGINT');
  process.kill(run.pid, 'SIGINT');
  await eventually('the launcher has ended', () => pidOf(run, 'worker-launcher') === 0);
  expect(isAlive(run.pid)).toBe(true);
  await eventually('the second signal counts', () => {
    if (isAlive(run.pid)) process.kill(run.pid, 'SIGINT');
    return run.stdout().includes('stopping immediately');
  });
  expect(await run.ended).toMatchObject({ code: 1 });
  await allGone(pids);
});

test('kill -9 of a program or of Redis: the start prints one line and restarts it', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path);
  await run.says(/^ready /m);
  for (const name of ['worker-launcher', 'gateway', 'redis', 'reply-redis']) {
    const before = pidOf(run, name);
    process.kill(before, 'SIGKILL');
    await run.says(new RegExp(`^${name} exited unexpectedly \\(SIGKILL\\); it restarts in`, 'm'));
    await eventually(`a new ${name}`, () => ![0, before].includes(pidOf(run, name)));
  }
});

test('the next start in the same folder ends the processes that a killed start and its killed guard left', async () => {
  using folder = temporaryFolder();
  await using first = await start(folder.path, { env: { BEHAVIOUR_GATEWAY: 'stubborn' } });
  await first.says(/^ready /m);
  const left = ['redis', 'reply-redis', 'gateway'].map((name) => pidOf(first, name));
  process.kill(pidOf(first, 'guard'), 'SIGKILL');
  process.kill(first.pid, 'SIGKILL');
  await first.ended;
  await using second = await start(folder.path, { port: first.port });
  await second.says(/^ending the processes that an earlier start left running: .*redis/m);
  await second.says(/^ready /m);
  expect(left.some(isAlive)).toBe(false);
});

test('a data folder in use is refused', async () => {
  using folder = temporaryFolder();
  await using first = await start(folder.path);
  await first.says(/^ready /m);
  await using second = await start(folder.path);
  expect(await second.ended).toMatchObject({ code: 1 });
  expect(second.stderr()).toMatch(/is in use by another start, pid \d+/);
  expect(pidOf(first, 'start')).toBe(first.pid);
});

test('a port in use: one sentence, exit 1, nothing started', async () => {
  using folder = temporaryFolder();
  const port = await freePorts(3);
  const taken = createServer().listen(port + 2, '127.0.0.1');
  await once(taken, 'listening');
  await using run = await start(folder.path, { port });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toBe(
    `port ${port + 2} for the internal port of a worker-launcher is in use; choose other ports with --port, such as --port 8180 (in a checkout: npm start -- --port 8180)\n`,
  );
  expect(readdirSync(join(folder.path, 'data'))).toEqual([]);
  taken.close();
});

test('a program that refuses its settings: its sentence, exit 1, nothing left', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, { env: { BEHAVIOUR_WORKER: 'refuses' } });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toMatch(
    /^worker-launcher did not start \(exit code 1\): bad configuration: X is not a number$/m,
  );
  expect(run.noted()).toEqual([]);
});

test('F1: an uncaught error of a program is printed as its message, without a stack', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, { env: { BEHAVIOUR_WORKER: 'throws' } });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toBe('worker-launcher did not start (exit code 1): RangeError: X is too large\n');
});

test('a start ends with the reason if its engines are given up', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, {
    env: { BEHAVIOUR_WORKER: 'gives-up', BEHAVIOUR_GATEWAY: 'never-ready' },
  });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toBe('no engine of worker-launcher started: no such flag\n');
});

test('SIGTERM before ready ends every started process', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, { env: { BEHAVIOUR_GATEWAY: 'never-ready' } });
  await run.says(/^starting gateway, worker-launcher/m);
  const pids = run.noted().map(({ pid }) => pid);
  process.kill(run.pid, 'SIGTERM');
  expect(await run.ended).toMatchObject({ code: 0 });
  await allGone(pids);
});

test('a given Redis is used, and left running at the end', async () => {
  using folder = temporaryFolder();
  await using redis = await startRedis();
  await using run = await start(folder.path, { redis: redis.url });
  await run.says(/^ready /m);
  expect(names(run)).toEqual(['start', 'guard', 'gateway', 'worker-launcher']);
  process.kill(run.pid, 'SIGTERM');
  await run.ended;
  expect(await redis.client.ping()).toBe('PONG');
});

test('a Redis that requires another password: one sentence without the password, exit 1', async () => {
  using folder = temporaryFolder();
  await using redis = await startRedis();
  await redis.client.config('SET', 'requirepass', 'right');
  const { port } = new URL(redis.url);
  await using run = await start(folder.path, { redis: `redis://:wrong@127.0.0.1:${port}` });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toMatch(/^Redis at 127\.0\.0\.1:\d+ refuses the login or database: WRONGPASS [^\n]+\n$/);
});

test('a Redis that cannot be reached: one sentence, exit 1', async () => {
  using folder = temporaryFolder();
  const port = await freePorts(1);
  await using run = await start(folder.path, { redis: `redis://127.0.0.1:${port}` });
  expect(await run.ended).toMatchObject({ code: 1 });
  expect(run.stderr()).toMatch(/^Redis at 127\.0\.0\.1:\d+ cannot be reached: [^\n]*ECONNREFUSED[^\n]*\n$/);
});

/** Replaces Docker: runs the container's server on the port that the container would publish. */
const DOCKER = `#!/bin/sh
export PATH=/usr/local/bin:/usr/bin:/bin
echo "$*" >> "\${0%/*}/asked"
[ "$1" = run ] || exit 0
port=$(echo "$*" | sed 's/.*-p 127.0.0.1:\\([0-9]*\\):6379.*/\\1/')
sed -e "s/^port 6379$/port $port/" -e 's/^bind .*/bind 127.0.0.1/' > "\${0%/*}/settings-$port"
exec redis-server "\${0%/*}/settings-$port"
`;

test('without a Redis server or the right to install one, Redis is a container, which is removed at the end', async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'path');
  mkdirSync(path);
  writeFileSync(join(path, 'docker'), DOCKER, { mode: 0o755 });
  await using run = await start(folder.path, { env: { PATH: path } });
  await run.says(/^redis \(container by .*docker\) …$/m);
  await run.says(/^ready /m);
  process.kill(run.pid, 'SIGTERM');
  expect(await run.ended).toMatchObject({ code: 0 });
  const asked = readFileSync(join(path, 'asked'), 'utf8').trim().split('\n');
  expect(asked.map((line) => line.split(' ')[0])).toEqual(['info', 'rm', 'run', 'rm', 'run', 'rm']);
  expect(asked.at(-1)).toMatch(/^rm -f penstock-redis-[0-9a-f]{12} penstock-reply-redis-[0-9a-f]{12}$/);
});

test('the log of a program has both of its streams', async () => {
  using folder = temporaryFolder();
  await using run = await start(folder.path, { env: { BEHAVIOUR_GATEWAY: 'refuses' } });
  await run.ended;
  expect(readFileSync(join(folder.path, 'data/gateway.log'), 'utf8')).toContain('bad configuration');
});

test('if the npm that runs it is killed, everything ends, although the shell between them still runs', async () => {
  using folder = temporaryFolder();
  // the first run prepares the folder
  await using made = await start(folder.path);
  await made.says(/^ready /m);
  process.kill(made.pid, 'SIGTERM');
  await made.ended;
  writeFileSync(
    join(folder.path, 'npm.mjs'),
    `import { spawn } from 'node:child_process';
     process.title = 'npm start';
     spawn('/bin/sh', ['-c', '"$0" start.mjs; true', process.execPath], { stdio: 'inherit' });`,
  );
  const env = cleanEnv({ npm_lifecycle_event: 'start' });
  await using run = runStart([process.execPath, 'npm.mjs'], join(folder.path, 'data'), env, folder.path);
  await run.says(/^ready /m);
  const pids = run.noted().map(({ pid }) => pid);
  process.kill(run.pid, 'SIGKILL');
  await allGone(pids);
  expect(run.stdout()).toContain('stopping (npm exited)');
});
