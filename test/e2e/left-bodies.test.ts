import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { call, type Call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { dataUri, noisePng } from '../support/pictures.ts';
import { NO_IDLE_TESTS, startStack, type Stack } from '../support/stack.ts';

const WORD = 'zanzibarcanary';
const picture = dataUri(noisePng(40, 40));
const FORMS = [`Say much of the ${WORD}.`, [{ type: 'image_url', image_url: { url: picture } }]];
/** 6 s */
const TOKENS = 300;

let stack: Stack;
beforeEach(async () => {
  stack = await startStack({
    gateways: 2,
    twoRedis: true,
    workerEnv: { ...NO_IDLE_TESTS, PENSTOCK_SIM_ITL_MS: '20' },
  });
}, 90_000);
afterEach(async () => {
  await stack[Symbol.asyncDispose]();
});

/** From the second gateway; the first one tells what the engines do. */
function asked(): Call[] {
  return FORMS.map((content) =>
    call(`${stack.gateways[1]?.url}/v1/chat/completions`, {
      messages: [{ role: 'user', content }],
      max_tokens: TOKENS,
      ignore_eos: true,
      stream: true,
    }),
  );
}
const bodies = (): Promise<string[]> => stack.replyRedis.client.keys('*:body:*');
const lease = (): Promise<string[]> => stack.replyRedis.client.keys('*replies:*');

test('a minute after a gateway was killed, none of the requests that it left is in Redis', async () => {
  const cut = asked();
  await Promise.all(cut.map(({ begun }) => begun));
  expect(await bodies()).toHaveLength(FORMS.length);
  stack.gateways[1]?.child.kill('SIGKILL');
  const killedAt = performance.now();
  await Promise.all(cut.map(({ ended }) => ended));
  await eventually('no body is left', async () => (await bodies()).length === 0, 60_000);
  expect(performance.now() - killedAt).toBeLessThan(60_000);
}, 120_000);

test('a gateway that was stopped until its lease had lapsed still has what its requests need', async () => {
  const held = asked();
  await Promise.all(held.map(({ begun }) => begun));
  const before = (await lease()).length;
  stack.gateways[1]?.child.kill('SIGSTOP');
  await eventually('its lease lapsed', async () => (await lease()).length < before, 40_000);
  await eventually('no engine works for it', async () => (await stack.engineMetric('vllm:num_requests_running')) === 0);
  expect(await bodies()).toHaveLength(FORMS.length);
  stack.gateways[1]?.child.kill('SIGCONT');
  for (const { ended } of held) {
    const { status, body } = await ended;
    expect([status, body.endsWith('data: [DONE]\n\n')]).toEqual([200, true]);
  }
  await eventually('no body is left', async () => (await bodies()).length === 0);
}, 120_000);
