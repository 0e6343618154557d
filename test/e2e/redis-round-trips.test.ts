import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Commands that run by the clock, and not for a request. */
const BY_THE_CLOCK = ['ping', 'info', 'time', 'mget', 'zrange', 'pexpire', 'xrange', 'xtrim', 'client'];
/** The dispatcher's report to the registry. */
const REPORT = ['multi', 'exec', 'penstock:workers', 'penstock:worker:'];
/** A script is known by the key that only it has first. */
const SCRIPTS: Readonly<Record<string, string>> = {
  '11 reservations': 'reserve',
  '5 text:R': 'add the job',
  '7 text:prioritized': 'take jobs',
  '5 reservations': 'release',
  '3 text:completed': 'finish jobs',
  '3 usage-notes:R': 'book',
};

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ twoRedis: true });
  await ask(false);
}, 120_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

async function ask(stream: boolean): Promise<void> {
  const body = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 1, stream };
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  await response.text();
}

/** The commands that Redis gets from clients, without those inside scripts. */
async function watch(redis: Redis): Promise<{ seen: string[][]; end: () => void }> {
  const seen: string[][] = [];
  const monitor = await redis.monitor();
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
  if (command === 'evalsha')
    return keys[2]?.endsWith('quarantine') === true
      ? undefined
      : (SCRIPTS[`${keys[1]} ${keys[2]}`] ?? keys.slice(1, 3).join(' '));
  return command === 'xadd' || command === 'xread' || command === 'bzpopmin' ? undefined : `${command} ${keys[0]}`;
}

test.each([
  ['whole', false],
  ['streamed', true],
] as const)('a request costs ten commands of Redis besides its frames, and not one more: %s', async (_kind, stream) => {
  const [queue, replies] = [await watch(stack.redis.client), await watch(stack.replyRedis.client)];
  try {
    await ask(stream);
    const trips = (seen: string[][]): string[] => seen.map(roundTrip).filter((trip) => trip !== undefined);
    const isOver = (): boolean =>
      ['release', 'finish jobs'].every((trip) => trips(queue.seen).includes(trip)) &&
      trips(replies.seen).includes('del body:R');
    await eventually('the request is over in Redis too', isOver);
    // The last ones are of two programs, in any order.
    expect(trips(queue.seen).toSorted()).toEqual([
      'add the job',
      'book',
      'finish jobs',
      'release',
      'reserve',
      'take jobs',
    ]);
    expect(trips(replies.seen)).toEqual(['set body:R', 'get body:R', 'pttl body:R', 'del body:R']);
    // Claimed and head, data and end: entries hold what is ready, so a fast engine's whole answer needs two.
    const entries = replies.seen.filter(([name, , , , , stamp]) => name?.toLowerCase() === 'xadd' && stamp !== '');
    expect(entries.length).toBeLessThanOrEqual(stream ? 6 : 3);
  } finally {
    queue.end();
    replies.end();
  }
});
