import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { redisKeys } from '#contract/redis-keys';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startScriptedStack, wholeAnswer, type ScriptedStack } from '../support/scripted-stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack();
  scripted.script = (res) => void res.end(wholeAnswer('hi'));
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});
const UNREADABLE = ['{', '', 'null', '[]', '{"type":"later","requestId":"r","epoch":1}', '{"type":"go"}'];

test('H2: unreadable control messages and unreadable reports do no harm to others', async () => {
  const { stack } = scripted;
  const { client } = stack.redis;
  const [worker] = (await stack.status()).workers;
  const name = worker?.incarnation ?? '';
  for (const [n, text] of UNREADABLE.entries()) {
    expect(await client.publish(redisKeys.control(name), text)).toBe(1);
    for (const [key, names] of [
      [redisKeys.workerOf(MODEL, `unreadable-${n}`), redisKeys.workersOf(MODEL)],
      [redisKeys.worker(`unreadable-${n}`), redisKeys.workers()],
    ] as const) {
      await client.set(key, text);
      await client.zadd(names, Date.now(), `unreadable-${n}`);
    }
  }
  const answer = await call(`${stack.url}/v1/chat/completions`, { messages: [{ role: 'user', content: 'x' }] }).ended;
  expect(answer).toMatchObject({ status: 200, body: wholeAnswer('hi') });
  // Written every second with a TTL of 5 s: it is read with the others, and its dispatcher runs.
  const before = await client.zscore(redisKeys.workersOf(MODEL), name);
  await eventually(
    'the dispatcher reports again',
    async () => (await client.zscore(redisKeys.workersOf(MODEL), name)) !== before,
  );
  expect((await stack.status()).workers.map(({ incarnation }) => incarnation)).toEqual([name]);
});
