import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startRedisPair, type RedisPair } from '../support/redis-pair.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startReceiver, type Receiver } from '../support/webhook-receiver.ts';

const folder = temporaryFolder();
const file = `${folder.path}/keys.yaml`;
let key: string;
let receiver: Receiver;
let pair: RedisPair;
let stack: Stack;

beforeAll(async () => {
  receiver = await startReceiver();
  key = (await penstock(['keys', 'create', '--file', file, '--id', 'mine'])).stdout.trim();
  await penstock(['keys', 'webhook', 'mine', `http://127.0.0.1:${receiver.port}/`, '--file', file]);
  pair = await startRedisPair();
  stack = await startStack({
    redis: pair,
    twoRedis: true,
    gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_WEBHOOK_ALLOW: '127.0.0.1' },
    workerEnv: NO_IDLE_TESTS,
  });
}, 90_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (tokens: number): Promise<Response> =>
  fetch(`${stack.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'hi', max_output_tokens: tokens, background: true }),
  });

test('a background response that is refused because no replica has it sends no event, also if it ends before', async () => {
  process.kill(pair.replica.pid, 'SIGSTOP');
  // The first ends before the replica's time is over, the second is cancelled after it.
  const refused = [await ask(1), await ask(1_000)];
  process.kill(pair.replica.pid, 'SIGCONT');
  expect(refused.map(({ status }) => status)).toEqual([503, 503]);
  const { id } = await eventually('one is taken', async () => {
    const response = await ask(4);
    return response.ok && z.object({ id: z.string() }).parse(await response.json());
  });
  await eventually('its event arrives', () => receiver.of(id).length > 0);
  expect(receiver.got.map(({ event }) => event.data.id)).toEqual([id]);
  const internal = stack.gateways[0]?.internalUrl ?? '';
  const { stdout } = await penstock(['webhooks', 'list', '--json', '--gateway-url', internal]);
  expect(stdout.match(/"evt_\w+"/g)).toEqual([`"${id.replace('resp_', 'evt_')}"`]);
}, 60_000);
