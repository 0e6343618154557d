import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { redisKeys } from '#contract/redis-keys';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

/** Commands that run by the clock, and not for a request. */
const BY_THE_CLOCK = ['ping', 'info', 'time', 'mget', 'zrange', 'pexpire', 'xrange', 'xtrim', 'client'];
/** The dispatcher's report to the registry. */
const REPORT = ['multi', 'exec', 'workers', 'worker:', 'penstock:workers', 'penstock:worker:'];
/** Scripts that run by the clock: jobs that ended long ago are removed. */
const SWEEP = /^3 (text|image):(completed|failed)$/;
/** Scripts of the worker that delivers webhook events, while there are none. */
const DELIVERIES = /^\d+ deliveries:/;
/** A script is known by the key that only it has first. */
const SCRIPTS: Readonly<Record<string, string>> = {
  '11 reservations': 'reserve',
  '5 text:R': 'add the job',
  '8 text:prioritized': 'take jobs',
  '5 reservations': 'release',
  '4 text:completed': 'finish jobs',
  '3 usage-notes:R': 'book',
};

const MODEL = 'Phi-3-vision-128k-instruct';
const folder = temporaryFolder();
const keys = new Map<string, string>();
let stack: Stack;
let queue: Watched;
let replies: Watched;
beforeAll(async () => {
  const file = join(folder.path, 'keys.yaml');
  for (const [id, ...options] of [
    ['free'],
    ['minute', '--requests-per-minute', '99'],
    ['all', '--requests-per-minute', '99', '--tokens-per-minute', '9999', '--tokens-per-day', '9999'],
  ] as const) {
    const made = await penstock(['keys', 'create', '--file', file, '--id', id, ...options]);
    keys.set(id, made.stdout.trim());
  }
  stack = await startStack({ twoRedis: true, gatewayEnv: { GATEWAY_KEYS_FILE: file } });
  // The first use of a script sends its text.
  for (const id of keys.keys()) await ask(false, id);
  // A client has its answer before the dispatcher notes that.
  const ended = `${redisKeys.queuePrefix(MODEL)}:text:completed`;
  await eventually('they are over in Redis', async () => (await stack.redis.client.zcard(ended)) === keys.size);
  [queue, replies] = [await watch(stack.redis.server), await watch(stack.replyRedis.server)];
}, 120_000);
afterAll(async () => {
  queue.end();
  replies.end();
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function ask(stream: boolean, id = 'free'): Promise<void> {
  const body = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 1, stream };
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${keys.get(id) ?? ''}` };
  const response = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  await response.text();
}

interface Watched {
  readonly seen: string[][];
  end(): void;
}
/** The commands that Redis gets from clients, without those inside scripts. */
async function watch(redis: Redis): Promise<Watched> {
  const seen: string[][] = [];
  // ioredis fails if the first command that it sees comes together with the reply to its own.
  const monitor = await eventually('Redis is watched', () => redis.monitor());
  monitor.on('monitor', (_time: string, command: string[], source: string) => {
    if (source !== 'lua') seen.push(command);
  });
  return { seen, end: () => monitor.disconnect() };
}

/** What a command does for the request; undefined: nothing. */
function roundTrip([name = '', ...words]: string[]): string | undefined {
  const command = name.toLowerCase();
  const keys = words.map((word) => word.replace(/^.*?}:/, '').replace(/^(body:|text:|usage-notes:)g[^:]*-\d+$/, '$1R'));
  if (BY_THE_CLOCK.includes(command) || REPORT.some((part) => command === part || keys[0]?.startsWith(part) === true))
    return undefined;
  // ioredis sends the text of each script again after a minute.
  if (command === 'evalsha' || command === 'eval') {
    const script = `${keys[1]} ${keys[2]}`;
    const isByTheClock =
      script.endsWith('quarantine') ||
      script === '1 open-answers' ||
      script.endsWith(' image:prioritized') ||
      DELIVERIES.test(script) ||
      SWEEP.test(script);
    return isByTheClock ? undefined : (SCRIPTS[script] ?? script);
  }
  return command === 'xadd' || command === 'xread' || command === 'bzpopmin' ? undefined : `${command} ${keys[0]}`;
}

test.each([
  ['whole', 'free', false, []],
  ['streamed', 'free', true, []],
  ['of a key with one limit', 'minute', false, ['requests_per_minute']],
  // Sent together; a second time, with what it used.
  [
    'of a key with all limits',
    'all',
    false,
    ['requests_per_minute', 'tokens_per_minute', 'tokens_per_day', 'tokens_per_minute', 'tokens_per_day'],
  ],
] as const)(
  'a request costs ten commands of Redis besides its frames and its limits, and not one more: %s',
  async (_kind, id, stream, limits) => {
    queue.seen.length = 0;
    replies.seen.length = 0;
    const jobs = ['add the job', 'book', 'finish jobs', 'release', 'reserve', 'take jobs'];
    const counts = limits.map((limit) => `1 penstock:limit:${limit}:${id}`);
    const trips = (seen: string[][]): string[] => seen.map(roundTrip).filter((trip) => trip !== undefined);
    await ask(stream, id);
    const isOver = (): boolean =>
      trips(queue.seen).length >= jobs.length + counts.length && trips(replies.seen).includes('del body:R');
    await eventually('the request is over in Redis too', isOver);
    // The last ones are of two programs, in any order.
    expect(trips(queue.seen).toSorted()).toEqual([...jobs, ...counts].toSorted());
    expect(trips(replies.seen)).toEqual(['set body:R', 'get body:R', 'pttl body:R', 'del body:R']);
    // Claimed and head, data and end: entries hold what is ready, so a fast engine's whole answer needs two.
    const entries = replies.seen.filter(([name, , , , , stamp]) => name?.toLowerCase() === 'xadd' && stamp !== '');
    expect(entries.length).toBeLessThanOrEqual(stream ? 6 : 3);
  },
);
