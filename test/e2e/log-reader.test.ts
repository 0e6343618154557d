import { expect, test } from '@jest/globals';
import { post } from '../support/chat-client.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** Requests that log more bytes than a socket buffers. */
const REQUESTS = 1_500;
const AT_A_TIME = 50;

test('H6, H13: a gateway and a dispatcher with a stopped log reader still serve', async () => {
  await using stack = await startStack({ workerEnv: { WORKER_LOG_LEVEL: 'debug' } });
  for (const { child } of [...stack.gateways, ...stack.launchers]) child.stdout?.pause();
  for (let sent = 0; sent < REQUESTS; sent += AT_A_TIME) {
    const batch = Array.from({ length: AT_A_TIME }, () => fetch(`${stack.url}/v1/models`));
    for (const response of await Promise.all(batch)) {
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
  }
  const messages = [{ role: 'user', content: 'hi' }];
  for (let n = 0; n < 20; n += 1) {
    const answer = await post(`${stack.url}/v1/chat/completions`, { model: MODEL, max_tokens: 2, messages });
    expect([answer.status, (await answer.text()).includes('"finish_reason":"length"')]).toEqual([200, true]);
  }
}, 60_000);
