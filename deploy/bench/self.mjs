// @ts-check
/**
 * `npm run bench:self`: CPU time of each process of Penstock, and of Redis, per non-streamed request and per streamed
 * chunk, or per picture, against the simulator as a fast local engine. Timings of a busy machine are only ratios; CPU time
 * is steadier.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '#runtime/free-port';
import { Pool } from 'undici';
import { measurePictures } from './picture.mjs';

const HELP = `usage: npm run bench:self -- [--requests N] [--concurrency N] [--streams N] [--tokens N]

  --requests N      non-streamed requests to measure (default 4000)
  --concurrency N   of them at a time (default 128)
  --streams N       concurrent streams (default 200)
  --tokens N        tokens a stream, one every 20 ms (default 200)
  --picture         one data: URI of 1.5 MB a request instead, and the gateway's longest block of its event loop for it
  --compare FOLDER  with --picture: another built checkout, measured in turns with this one
  --one-redis       bodies and replies in the queue's Redis, and not in a second one without a file; with --compare in the
                    other checkout alone
  --help            this text`;

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '4000' },
    concurrency: { type: 'string', default: '128' },
    streams: { type: 'string', default: '200' },
    tokens: { type: 'string', default: '200' },
    picture: { type: 'boolean', default: false },
    compare: { type: 'string' },
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

/** CPU seconds of a process, user and system. @param {number} pid */
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
 * Sends one request and reads the complete answer. @param {Pool} pool @param {object | Buffer} body
 * @returns {Promise<{ chunks: number, whole: boolean }>}
 */
const ask = async (pool, body) => {
  const headers = { 'content-type': 'application/json' };
  const bytes = Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const res = await pool.request({ path: PATH, method: 'POST', headers, body: bytes });
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

const PLAIN = { messages, max_tokens: 16 };
/** @param {Pool} pool @param {number} count @param {number} atATime @param {object | Buffer} body */
const plain = async (pool, count, atATime, body = PLAIN) => {
  let left = count;
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
  if (!answers.every(({ whole }) => whole)) throw new Error('a stream was incomplete');
  return answers.reduce((sum, { chunks }) => sum + chunks, 0);
};

if (process.platform !== 'linux') {
  console.error('bench:self reads CPU times from /proc, so it runs on Linux only');
  process.exit(1);
}

/**
 * @typedef {object} Stack
 * @property {Pool} pool of connections to the gateway
 * @property {Map<string, number>} pids
 * @property {() => Promise<void>} end
 */

/**
 * Redis, gateway and launcher with one simulator engine.
 * @param {Record<string, string>} engine settings of the simulator
 * @param {{ root?: string, oneRedis?: boolean, gatewayFlags?: string[] }} [options] of another checkout than this one
 * @returns {Promise<Stack>}
 */
const startStack = async (engine, { root = '.', oneRedis = false, gatewayFlags = [] } = {}) => {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-bench-'));
  /** @type {import('node:child_process').ChildProcess[]} */
  const children = [];
  /** @param {string} file @param {string[]} args @param {Record<string, string>} env @param {boolean} ours */
  const start = (file, args, env, ours) => {
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ours ? ['ignore', 'ignore', 'inherit', 'ipc'] : ['ignore', 'ignore', 'inherit'];
    const child = spawn(file, args, { env: { ...process.env, ...env }, stdio, cwd: ours ? root : folder });
    children.push(child);
    return child.pid ?? 0;
  };
  /** @param {string[]} args */
  const startRedis = async (args) => {
    const port = await freePort();
    const pid = start(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...args],
      {},
      false,
    );
    return { pid, url: `redis://127.0.0.1:${port}` };
  };
  const end = async () => {
    for (const child of children.reverse()) {
      child.kill('SIGTERM');
      if (child.exitCode === null) await new Promise((done) => child.once('exit', done));
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const redis = await startRedis(['--appendonly', 'yes', '--appendfsync', 'everysec']);
    const replies = oneRedis ? redis : await startRedis(['--appendonly', 'no']);
    const [port, internal, launcher] = [await freePort(), await freePort(), await freePort()];
    const gatewayEnv = {
      GATEWAY_REDIS_URL: redis.url,
      GATEWAY_REPLY_REDIS_URL: replies.url,
      GATEWAY_PORT: String(port),
      GATEWAY_INTERNAL_PORT: String(internal),
    };
    const gateway = start(process.execPath, [...gatewayFlags, 'dist/gateway/main.js'], gatewayEnv, true);
    const workerEnv = {
      WORKER_REDIS_URL: redis.url,
      WORKER_REPLY_REDIS_URL: replies.url,
      WORKER_INTERNAL_PORT: String(launcher),
      WORKER_ENGINE: 'simulator',
      WORKER_ENGINES: '1',
      WORKER_STATE_DIR: join(folder, 'worker'),
      ...engine,
    };
    const supervisor = start(process.execPath, ['dist/worker-launcher/main.js'], workerEnv, true);
    await until(`http://127.0.0.1:${internal}/readyz?workers=1`, (body) => body.status === 'ok');
    const { workers } = await until(`http://127.0.0.1:${internal}/status`, (body) => body.workers.length > 0);
    const pids = new Map([
      ['gateway', gateway],
      ['dispatcher', Number(workers[0].pid)],
      ['launcher', supervisor],
      ['Redis', redis.pid],
      ...(oneRedis ? [] : [/** @type {const} */ (['Redis of bodies and replies', replies.pid])]),
    ]);
    const pool = new Pool(`http://127.0.0.1:${port}`, { connections: Math.max(concurrency, streams) });
    await plain(pool, 500, concurrency);
    return {
      pool,
      pids,
      end: async () => {
        await pool.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
};

/** @template T @param {Record<string, string>} engine @param {(stack: Stack) => Promise<T>} work */
const withStack = async (engine, work) => {
  const stack = await startStack(engine, { oneRedis: values['one-redis'] });
  try {
    return await work(stack);
  } finally {
    await stack.end();
  }
};

if (values.picture) {
  await measurePictures(startStack, { ask: plain, measured, compare: values.compare, oneRedis: values['one-redis'] });
  process.exit(0);
}

console.log(`${requests} non-streamed requests, ${concurrency} at a time …`);
const whole = await withStack({ PENSTOCK_SIM_ITL_MS: '0' }, ({ pool, pids }) =>
  measured(pids, () => plain(pool, requests, concurrency)),
);
console.log(`${streams} streams of ${tokens} tokens, one every 20 ms …`);
const chunks = await withStack({ PENSTOCK_SIM_ITL_MS: '20' }, ({ pool, pids }) =>
  measured(pids, () => streamed(pool, streams, tokens)),
);

const rows = [...whole.used.keys()].map((name) => [
  name,
  ((1_000 * (whole.used.get(name) ?? 0)) / whole.result).toFixed(3),
  ((1e6 * (chunks.used.get(name) ?? 0)) / chunks.result).toFixed(1),
]);
const sum = (/** @type {number} */ column) => rows.reduce((all, row) => all + Number(row[column]), 0);
rows.push(['all', sum(1).toFixed(3), sum(2).toFixed(1)]);
console.log('\n| process | CPU ms per request | CPU µs per chunk |\n|---|---|---|');
for (const row of rows) console.log(`| ${row.join(' | ')} |`);
const rate = (/** @type {{ result: number, wallSeconds: number }} */ { result, wallSeconds }) =>
  (result / wallSeconds).toFixed(0);
console.log(`\n${rate(whole)} requests/s, ${rate(chunks)} chunks/s; node ${process.version}`);
