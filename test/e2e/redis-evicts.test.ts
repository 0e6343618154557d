import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, type Call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { lasts } from '../support/full-length.ts';
import { noisePng } from '../support/pictures.ts';
import { startStack } from '../support/stack.ts';

const COUNT = 40;
/** Size of a picture in base64: some 330 kB. */
const SIDE = 500;
/** Memory for a third of them. */
const ROOM_BYTES = 4 * 1024 * 1024;
/** Slower than the resolution of Redis' LRU clock, so that the least recently used key is evicted first. */
const EVERY_MS = 100;
const DEADLINE_MS = 100_000;

const Status = z.object({
  redis: z.record(z.string(), z.object({ evictionPolicy: z.string(), evictedKeys: z.number() })),
});

/** Result: a failure code, `whole` or `broken`. */
function endOf({ status, body, isWhole }: Outcome): string {
  if (!isWhole) return 'broken';
  if (status === 200 && (body.endsWith('data: [DONE]\n\n') || body.startsWith('{"id"'))) return 'whole';
  return /"code":"(\w+)"/.exec(body)?.[1] ?? `${status} ${body}`;
}

test.concurrent.each(['allkeys-lru', 'volatile-lru'])(
  'C4: a Redis that evicts (%s) under 40 requests with pictures: none hangs, and each loss is reported with its own code',
  async (policy) => {
    await using stack = await startStack({
      gatewayEnv: { GATEWAY_REQUEST_TIMEOUT_MS: String(DEADLINE_MS) },
      workerEnv: { WORKER_MAX_IN_FLIGHT_IMAGE: '4', PENSTOCK_SIM_ITL_MS: '40' },
    });
    const { client } = stack.redis;
    const [gateway] = stack.gateways;
    await client.config('SET', 'maxmemory-policy', policy);
    const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
    await client.config('SET', 'maxmemory', String(used + ROOM_BYTES));
    const url = `data:image/png;base64,${noisePng(SIDE, SIDE).toString('base64')}`;
    const content = [
      { type: 'image_url', image_url: { url } },
      { type: 'text', text: 'What is this?' },
    ];
    const calls: Call[] = [];
    for (let n = 0; n < COUNT; n += 1) {
      const body = { messages: [{ role: 'user', content }], max_tokens: 20, stream: n % 2 === 0 };
      calls.push(call(`${stack.url}/v1/chat/completions`, body));
      await lasts(EVERY_MS);
    }
    const outcomes = await Promise.all(calls.map(({ ended }) => ended));
    const ends = new Map<string, number>();
    for (const one of outcomes) ends.set(endOf(one), (ends.get(endOf(one)) ?? 0) + 1);
    process.stdout.write(
      `${policy}: ${[...ends].map(([end, count]) => `${count} ${end}`).join(', ')}; longest ${Math.round(Math.max(...outcomes.map(({ tookMs }) => tookMs)))} ms\n`,
    );
    const named = new Set(['whole', 'body_lost', 'worker_lost', 'queue_unavailable']);
    expect([...ends.keys()].filter((end) => !named.has(end))).toEqual([]);
    const { redis } = Status.parse(await (await fetch(`${gateway?.internalUrl ?? ''}/status`)).json());
    expect(redis['queue']?.evictionPolicy).toBe(policy);
    expect(redis['queue']?.evictedKeys).toBeGreaterThan(0);
    expect(await stack.metric('penstock_redis_may_evict')).toBeGreaterThan(0);
    expect(await stack.metric('penstock_redis_evicted_keys')).toBeGreaterThan(0);
    const lines = gateway?.output().split('\n') ?? [];
    expect(lines.filter((line) => line.includes('this Redis may evict keys'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('this Redis evicted keys')).length).toBeGreaterThan(0);
    await client.config('SET', 'maxmemory', '0');
    await eventually(
      'it serves again',
      async () => {
        const after = await call(`${stack.url}/v1/chat/completions`, {
          messages: [{ role: 'user', content }],
          max_tokens: 4,
        }).ended;
        return endOf(after) === 'whole';
      },
      30_000,
    );
  },
  180_000,
);
