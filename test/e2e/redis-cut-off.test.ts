import { Agent, request } from 'node:http';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { startProxy } from '../drill/tcp-proxy.mjs';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startStack } from '../support/stack.ts';

const PATH = '/v1/chat/completions';
const body = { messages: [{ role: 'user', content: 'Tell me of rivers.' }], max_tokens: 4 };
const Status = z.object({ redis: z.object({ queue: z.object({ state: z.string() }) }) });
const Refusal = z.object({ error: z.object({ code: z.literal('queue_unavailable') }) });

const portIn = (url: string): number => Number(new URL(url).port);
/** One POST on a connection of this agent, which keeps it for the next one if the answer allows that. */
function post(agent: Agent, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request({ agent, port, host: '127.0.0.1', path: PATH, method: 'POST', headers });
    sent.on('error', reject);
    sent.on('response', (res) => res.resume().on('end', () => resolve(res.statusCode ?? 0)));
    sent.end(JSON.stringify(body));
  });
}

test('a gateway whose connections to Redis alone are dead stays ready, refuses quickly, and sends its callers to another one', async () => {
  await using stack = await startStack();
  let redis: number | undefined = portIn(stack.redis.url);
  const toRedis = await startProxy(() => redis);
  const cutOff = await stack.startGateway({ GATEWAY_REDIS_URL: `redis://127.0.0.1:${toRedis.port}` });
  const replicas = [portIn(cutOff.url), portIn(stack.url)];
  let connections = 0;
  const balancer = await startProxy(() => replicas[connections++ % replicas.length]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (const lost of ['silent', 'refused']) {
      if (lost === 'silent') toRedis.mute(true);
      else {
        redis = undefined;
        toRedis.cut();
      }
      const refused = await eventually('its requests are refused', async () => {
        const answer = await call(cutOff.url + PATH, body).ended;
        return answer.status === 503 && answer;
      });
      Refusal.parse(JSON.parse(refused.body));
      expect(refused.headers).toMatchObject({ connection: 'close', 'retry-after': expect.stringMatching(/^\d+$/) });
      expect(refused.tookMs).toBeLessThan(5_000);
      await eventually('its own status names it', async () => {
        const { queue } = Status.parse(await (await fetch(`${cutOff.internalUrl}/status`)).json()).redis;
        return queue.state !== 'ok';
      });
      // It cannot know whether the others are well: if all were out of service, callers would get refused connections.
      expect((await fetch(`${cutOff.internalUrl}/readyz`)).status).toBe(200);
      connections = 0;
      const statuses: number[] = [];
      for (let sent = 0; sent < 4; sent += 1) statuses.push(await post(agent, balancer.port));
      expect(statuses).toEqual([503, 200, 200, 200]);
      agent.destroy();
      redis = portIn(stack.redis.url);
      toRedis.mute(false);
      await eventually('it serves again', async () => (await call(cutOff.url + PATH, body).ended).status === 200);
    }
  } finally {
    agent.destroy();
    await balancer.stop();
    await toRedis.stop();
  }
}, 120_000);
