import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Pool } from 'undici';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

const STREAMS = 500;
const TOKENS = 64;
const CANARY = 'zanzibarcanary';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ engines: 4, workerEnv: { PENSTOCK_SIM_ITL_MS: '50' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

test('500 concurrent streams on four engines: each is complete, and nothing is left behind', async () => {
  const pool = new Pool(stack.url, { connections: STREAMS });
  const body = JSON.stringify({
    messages: [{ role: 'user', content: `Tell me of ${CANARY}.` }],
    max_tokens: TOKENS,
    stream: true,
    ignore_eos: true,
  });
  // As SDKs do: a gateway that reads its replies late says when to try again.
  const one = async (triesLeft = 5): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const res = await pool.request({ path: '/v1/chat/completions', method: 'POST', headers, body });
    const text = await res.body.text();
    if (res.statusCode !== 429 || triesLeft === 0) return `${res.statusCode} ${text}`;
    await new Promise((resolve) => setTimeout(resolve, Number(res.headers['retry-after']) * 1_000));
    return one(triesLeft - 1);
  };
  const running = Promise.all(Array.from({ length: STREAMS }, () => one()));
  // While they run, the jobs in Redis contain no word of the prompt.
  await eventually('many are in flight', async () => (await stack.metric('penstock_requests_in_flight')) > STREAMS / 5);
  const jobKeys = (await stack.redis.client.keys('{penstock:*}:text:*')).filter((key) => /-\d+-\d+$/.test(key));
  const jobs = await Promise.all(jobKeys.slice(0, 100).map((key) => stack.redis.client.hgetall(key)));
  expect(jobs.length).toBeGreaterThan(0);
  expect(JSON.stringify(jobs)).not.toContain(CANARY);

  const answers = await running;
  await pool.close();
  const broken = answers.filter(
    (text) =>
      !text.startsWith('200 ') ||
      !text.endsWith('data: [DONE]\n\n') ||
      // a role event, then one event per token
      text.split('data: {').length - 2 !== TOKENS,
  );
  expect(broken).toEqual([]);
  await eventually('gauges are back at zero', async () => {
    const gauges = ['penstock_requests_in_flight', 'penstock_queue_depth'];
    return (await Promise.all(gauges.map((name) => stack.metric(name)))).every((value) => value === 0);
  });
  expect(await stack.redis.client.keys('*:body:*')).toEqual([]);
  expect(await stack.redis.client.keys('*reserv*')).toEqual([]);
}, 120_000);
