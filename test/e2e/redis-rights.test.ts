import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { Answer } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { redisUser } from '../support/redis-user.ts';
import { startRedis } from '../support/redis.ts';
import { startStack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };

test('H12: the users of penstock redis acl have enough rights, and no command is refused', async () => {
  await using redis = await startRedis();
  const url = await redisUser(redis, '--role', 'gateway');
  const workerUrl = await redisUser(redis, '--role', 'worker', '--model', MODEL);
  await using receiver = await startReceiver();
  using folder = temporaryFolder();
  const file = `${folder.path}/keys.yaml`;
  const key = (await penstock(['keys', 'create', '--file', file, '--id', 'mine'])).stdout.trim();
  await penstock(['keys', 'webhook', 'mine', `http://127.0.0.1:${receiver.port}/`, '--file', file]);
  await using stack = await startStack({
    gateways: 2,
    engines: 2,
    gatewayEnv: { GATEWAY_REDIS_URL: url, GATEWAY_KEYS_FILE: file, GATEWAY_WEBHOOK_ALLOW: '127.0.0.1' },
    workerEnv: { WORKER_REDIS_URL: workerUrl },
  });
  const authorization = `Bearer ${key}`;
  const headers = { 'content-type': 'application/json', 'idempotency-key': 'once', authorization };
  const init = { method: 'POST', headers, body: JSON.stringify(question) };
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${stack.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify(body),
    });
  for (let n = 0; n < 2; n += 1) {
    const answer = await fetch(`${stack.url}/v1/chat/completions`, init);
    expect(Answer.parse(await answer.json()).choices).toHaveLength(1);
  }
  const streamed = await post('/v1/chat/completions', { ...question, stream: true });
  expect(await streamed.text()).toMatch(/data: \[DONE\]\n\n$/);
  receiver.reply = () => (receiver.got.length === 1 ? 500 : 410);
  expect((await post('/v1/responses', { input: 'hi', background: true })).status).toBe(200);
  // A retry, an end for good, an operator's retry, and a success.
  await eventually('the event comes twice', () => receiver.got.length === 2);
  receiver.reply = () => 200;
  const at = ['--gateway-url', stack.gateways[0]?.internalUrl ?? ''];
  const listed = async (): Promise<string> => (await penstock(['webhooks', 'list', ...at])).stdout;
  await eventually('it is given up', async () => (await listed()).includes('given_up'));
  await penstock(['webhooks', 'redeliver', receiver.got[0]?.event.id ?? '', ...at]);
  await eventually('it is delivered', async () => (await listed()).includes('delivered'));
  // Stalled and finished jobs are swept every 5 s, those of webhooks every 15 s.
  const began = performance.now();
  await eventually('all periodic commands have run', () => performance.now() - began > 16_000, 25_000);
  // A dispatcher tries the registry of release 0.2, and stops.
  const log = z.array(z.array(z.unknown())).parse(await redis.client.acl('LOG'));
  expect(log.map((fields) => String(fields[7])).filter((what) => !what.startsWith('penstock:worker:d'))).toEqual([]);
}, 90_000);
