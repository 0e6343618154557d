// @ts-check
/**
 * `npm run bench:self`: CPU time of each process of Penstock, and of Redis, per non-streamed request and per streamed
 * chunk, against the simulator as a fast local engine. Timings of a busy machine are only ratios; CPU time is steadier.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '#runtime/free-port';
import { Pool } from 'undici';

const HELP = `usage: npm run bench:self -- [--requests N] [--concurrency N] [--streams N] [--tokens N] [--one-redis]

  --requests N      non-streamed requests to measure (default 4000)
  --concurrency N   of them at a time (default 128)
  --streams N       concurrent streams (default 200)
  --tokens N        tokens a stream, one every 20 ms (default 200)
  --one-redis       bodies and replies in the queue's Redis, and not in a second one without a file
  --help            this text`;

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '4000' },
    concurrency: { type: 'string', default: '128' },
    streams: { type: 'string', default: '200' },
    tokens: { type: 'string', default: '200' },
    'one-redis': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const requests = Number(values.requests);
const concurrency = Number(values.concurrency);
const streams = Number(values.streams);
const tokens = Number(values.tokens);
const TICKS_PER_SECOND = 100;
const PATH = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'How does a penstock work? '.repeat(8) }];

/** CPU seconds, user and system, that a process has used. @param {number} pid */
const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
};

/** @param {string} url @param {(body: any) => boolean} is @returns {Promise<any>} */
const until = async (url, is) => {
  for (let i = 0; i < 300; i += 1) {
    const body = await fetch(url).then(
      (r) => r.json(),
      () => undefined,
    );
    if (body !== undefined && is(body)) return body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} did not become ready`);
};

/**
 * Sends one request and reads all of it. @param {Pool} pool @param {object} body
 * @returns {Promise<{ chunks: number, whole: boolean }>}
 */
const ask = async (pool, body) => {
  const headers = { 'content-type': 'application/json' };
  const res = await pool.request({ path: PATH, method: 'POST', headers, body: JSON.stringify(body) });
  let chunks = 0;
  let tail = '';
  for await (const piece of res.body) {
    const text = String(piece);
    chunks += text.split('data: {').length - 1;
    tail = (tail + text).slice(-20);
  }
  return { chunks, whole: res.statusCode === 200 && (chunks === 0 || tail.endsWith('[DONE]\n\n')) };
};

/**
 * Runs `work` between two readings of each process's CPU time. @template T
 * @param {Map<string, number>} pids @param {() => Promise<T>} work
 */
const measured = async (pids, work) => {
  const before = new Map([...pids].map(([name, pid]) => [name, cpuSeconds(pid)]));
  const startedAt = performance.now();
  const result = await work();
  const wallSeconds = (performance.now() - startedAt) / 1_000;
  const used = new Map([...pids].map(([name, pid]) => [name, cpuSeconds(pid) - (before.get(name) ?? 0)]));
  return { result, used, wallSeconds };
};

/** @param {Pool} pool @param {number} count @param {number} atATime */
const plain = async (pool, count, atATime) => {
  let left = count;
  const body = { messages, max_tokens: 16 };
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      if (!(await ask(pool, body)).whole) throw new Error('a request failed');
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return count;
};

/** @param {Pool} pool @param {number} count @param {number} length */
const streamed = async (pool, count, length) => {
  const body = { messages, max_tokens: length, stream: true, ignore_eos: true };
  const answers = await Promise.all(Array.from({ length: count }, () => ask(pool, body)));
  if (!answers.every(({ whole }) => whole)) throw new Error('a stream was not whole');
  return answers.reduce((sum, { chunks }) => sum + chunks, 0);
};

if (process.platform !== 'linux') {
  console.error('bench:self reads CPU times from /proc, so it runs on Linux only');
  process.exit(1);
}

/**
 * Starts both Redis, gateway and launcher with one simulator engine, runs `work`, ends all of it. @template T
 * @param {Record<string, string>} engine settings of the simulator
 * @param {(pool: Pool, pids: Map<string, number>) => Promise<T>} work
 */
const withStack = async (engine, work) => {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-bench-'));
  /** @type {import('node:child_process').ChildProcess[]} */
  const children = [];
  /** @param {string} file @param {string[]} args @param {Record<string, string>} env @param {boolean} ours */
  const start = (file, args, env, ours) => {
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ours ? ['ignore', 'ignore', 'inherit', 'ipc'] : ['ignore', 'ignore', 'inherit'];
    const child = spawn(file, args, { env: { ...process.env, ...env }, stdio });
    children.push(child);
    return child.pid ?? 0;
  };
  try {
    const [redisPort, port, internal, launcher] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const url = `redis://127.0.0.1:${redisPort}`;
    const redisArgs = ['--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    const file = ['--appendonly', 'yes', '--appendfsync', 'everysec'];
    const redis = start('redis-server', [...redisArgs, '--port', String(redisPort), ...file], {}, false);
    const replyPort = await freePort();
    const replyRedis = values['one-redis']
      ? undefined
      : start('redis-server', [...redisArgs, '--port', String(replyPort), '--appendonly', 'no'], {}, false);
    /** @param {'GATEWAY' | 'WORKER'} who @returns {Record<string, string>} */
    const second = (who) =>
      replyRedis === undefined ? {} : { [`${who}_REPLY_REDIS_URL`]: `redis://127.0.0.1:${replyPort}` };
    const gatewayEnv = {
      GATEWAY_REDIS_URL: url,
      ...second('GATEWAY'),
      GATEWAY_PORT: String(port),
      GATEWAY_INTERNAL_PORT: String(internal),
    };
    const gateway = start(process.execPath, ['dist/gateway/main.js'], gatewayEnv, true);
    const workerEnv = {
      WORKER_REDIS_URL: url,
      ...second('WORKER'),
      WORKER_INTERNAL_PORT: String(launcher),
      WORKER_ENGINE: 'simulator',
      WORKER_ENGINES: '1',
      WORKER_STATE_DIR: join(folder, 'worker'),
      ...engine,
    };
    const supervisor = start(process.execPath, ['dist/worker-launcher/main.js'], workerEnv, true);
    await until(`http://127.0.0.1:${internal}/readyz?workers=1`, (body) => body.status === 'ok');
    const { workers } = await until(`http://127.0.0.1:${internal}/status`, (body) => body.workers.length > 0);
    const dispatcher = Number(workers[0].pid);
    const pids = new Map([
      ['gateway', gateway],
      ['dispatcher', dispatcher],
      ['launcher', supervisor],
      ['redis', redis],
    ]);
    if (replyRedis !== undefined) pids.set('reply-redis', replyRedis);
    const pool = new Pool(`http://127.0.0.1:${port}`, { connections: Math.max(concurrency, streams) });
    await plain(pool, 500, concurrency);
    const result = await work(pool, pids);
    await pool.close();
    return result;
  } finally {
    for (const child of children.reverse()) {
      child.kill('SIGTERM');
      if (child.exitCode === null) await new Promise((done) => child.once('exit', done));
    }
    await rm(folder, { recursive: true, force: true });
  }
};

console.log(`${requests} non-streamed requests, ${concurrency} at a time …`);
const whole = await withStack({ PENSTOCK_SIM_ITL_MS: '0' }, (pool, pids) =>
  measured(pids, () => plain(pool, requests, concurrency)),
);
console.log(`${streams} streams of ${tokens} tokens, one every 20 ms …`);
const chunks = await withStack({ PENSTOCK_SIM_ITL_MS: '20' }, (pool, pids) =>
  measured(pids, () => streamed(pool, streams, tokens)),
);

const rows = [...whole.used.keys()].map((name) => [
  name,
  ((1_000 * (whole.used.get(name) ?? 0)) / whole.result).toFixed(3),
  ((1e6 * (chunks.used.get(name) ?? 0)) / chunks.result).toFixed(1),
]);
const sum = (/** @type {number} */ column) => rows.reduce((all, row) => all + Number(row[column]), 0);
rows.push(['all', sum(1).toFixed(3), sum(2).toFixed(1)]);
console.log('\n| process | CPU ms a request | CPU µs a chunk |\n|---|---|---|');
for (const row of rows) console.log(`| ${row.join(' | ')} |`);
const rate = (/** @type {{ result: number, wallSeconds: number }} */ { result, wallSeconds }) =>
  (result / wallSeconds).toFixed(0);
console.log(`\n${rate(whole)} requests/s, ${rate(chunks)} chunks/s; node ${process.version}`);
