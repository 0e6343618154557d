import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const Told = z.object({ workersWanted: z.int().optional(), error: z.string().optional() });
const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };

test('an autoscaler asks how many workers a pool needs, also for one that was scaled to zero', async () => {
  await using stack = await startStack({
    launchers: 0,
    waitForEngines: false,
    gatewayEnv: { GATEWAY_POOLS: JSON.stringify({ zero: { [MODEL]: { engines: 2, text: 1 } } }) },
  });
  const [gateway] = stack.gateways;
  const scale = async (pool: string) => {
    const answer = await fetch(`${gateway?.internalUrl ?? ''}/scale/${pool}`);
    return [answer.status, Told.parse(await answer.json())] as const;
  };
  expect(await scale('zero')).toEqual([200, { workersWanted: 0 }]);
  expect(await scale('nowhere')).toEqual([404, { error: expect.stringContaining("'nowhere'") }]);

  const leave = new AbortController();
  const waiting = Array.from({ length: 5 }, () => post(`${stack.url}/v1/chat/completions`, question, leave.signal));
  // Two engines with one slot each: three workers for five requests.
  await eventually('three workers are needed', async () => (await scale('zero'))[1].workersWanted === 3);
  leave.abort();
  await Promise.allSettled(waiting);
  await eventually('no worker is needed any more', async () => (await scale('zero'))[1].workersWanted === 0);

  process.kill(stack.redis.pid, 'SIGKILL');
  await eventually('an outage does not look like an empty queue', async () => (await scale('zero'))[0] === 503);
  expect((await fetch(`${gateway?.internalUrl ?? ''}/readyz`)).status).toBe(200);
}, 60_000);
