import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { Answer, post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis } from '../support/redis.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };

test('H12: the least rights in deploy/README.md are enough, and no command is refused', async () => {
  const documented = /ACL SETUSER penstock ([^`]*)```/.exec(readFileSync('deploy/README.md', 'utf8'))?.[1] ?? '';
  const rules = documented.replace('>PASSWORD', '>pw').trim().split(/\s+/);
  await using redis = await startRedis();
  await redis.client.acl('SETUSER', 'penstock', ...rules);
  const url = redis.url.replace('redis://', 'redis://penstock:pw@');
  await using stack = await startStack({
    gateways: 2,
    engines: 2,
    gatewayEnv: { GATEWAY_REDIS_URL: url },
    workerEnv: { WORKER_REDIS_URL: url },
  });
  const headers = { 'content-type': 'application/json', 'idempotency-key': 'once' };
  const init = { method: 'POST', headers, body: JSON.stringify(question) };
  for (let n = 0; n < 2; n += 1) {
    const answer = await fetch(`${stack.url}/v1/chat/completions`, init);
    expect(Answer.parse(await answer.json()).choices).toHaveLength(1);
  }
  const streamed = await post(`${stack.url}/v1/chat/completions`, { ...question, stream: true });
  expect(await streamed.text()).toMatch(/data: \[DONE\]\n\n$/);
  // Stalled and finished jobs are swept every 5 s.
  const began = performance.now();
  await eventually('all periodic commands have run', () => performance.now() - began > 11_000, 20_000);
  expect(await redis.client.acl('LOG')).toEqual([]);
}, 60_000);
