import { expect, test } from '@jest/globals';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { postJson } from '../support/post.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const CLIENTS = 60;
const AT_A_TIME = 4;

const question = (n: number) => ({
  model: MODEL,
  max_tokens: 4,
  messages: [{ role: 'user', content: `question ${n}` }],
  stream: n % 2 === 0,
});

test.each([400, 429])(
  'H4: one engine of three answers %d to everything: no client notices, and it is started anew',
  async (status) => {
    await using stack = await startStack({ engines: 3, workerEnv: { WORKER_IDLE_CANARY_MS: '5000' } });
    const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
    const ill = (await engines())[0];
    if (ill === undefined) throw new Error('there are engines');
    await setFaults(ill, { 'answer-status': status });
    let next = 0;
    const bad: unknown[] = [];
    const ask = async (): Promise<void> => {
      for (; next < CLIENTS;) {
        next += 1;
        const answer = await postJson(`${stack.url}/v1/chat/completions`, question(next));
        if (answer.status !== 200 || answer.text.includes('"error"')) bad.push(answer);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, ask));
    expect(bad).toEqual([]);
    await eventually(
      'another process in its place',
      async () => {
        const now = (await engines()).find(({ id }) => id === ill.id);
        return now?.state === 'ready' && now.pid !== ill.pid;
      },
      60_000,
    );
  },
  120_000,
);

test('H4: all engines refuse with 400: the client is told so, and none is taken out', async () => {
  await using stack = await startStack({ engines: 2 });
  const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
  const before = await engines();
  for (const one of before) await setFaults(one, { 'answer-status': 400 });
  for (let n = 0; n < 5; n += 1)
    expect((await postJson(`${stack.url}/v1/chat/completions`, question(n))).status).toBe(400);
  expect((await engines()).map(({ id, state, pid }) => [id, state, pid])).toEqual(
    before.map(({ id, pid }) => [id, 'ready', pid]),
  );
}, 60_000);

test('H4: callers who are refused for what they asked make no engine an outlier', async () => {
  await using stack = await startStack({ engines: 2 });
  for (let n = 0; n < 20; n += 1) {
    const refused = { ...question(n), logit_bias: { 9999999: 1 } };
    const both = [refused, refused, question(n)].map((body) => postJson(`${stack.url}/v1/chat/completions`, body));
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([400, 400, 200]);
  }
  expect(await stack.metric('penstock_engine_outliers_total', stack.launchers[0])).toBe(0);
}, 60_000);
