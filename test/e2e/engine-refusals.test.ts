import { expect, test } from '@jest/globals';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { postJson } from '../support/post.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const AT_A_TIME = 4;

const question = (n: number) => ({
  model: MODEL,
  max_tokens: 4,
  messages: [{ role: 'user', content: `question ${n}` }],
  stream: n % 2 === 0,
});

test.each([
  ['500', { 'fail-requests': true }, { engines: 4, clients: 100, workerEnv: {} }],
  ['400', { 'answer-status': 400 }, { engines: 3, clients: 60, workerEnv: { WORKER_IDLE_CANARY_MS: '5000' } }],
  ['429', { 'answer-status': 429 }, { engines: 3, clients: 60, workerEnv: { WORKER_IDLE_CANARY_MS: '5000' } }],
])(
  'H4: one engine answers %s to every request: no client notices, and the launcher restarts it',
  async (_status, fault, { clients, ...options }) => {
    await using stack = await startStack(options);
    const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
    const faulty = (await engines())[0];
    if (faulty === undefined) throw new Error('there are engines');
    await setFaults(faulty, fault);
    let next = 0;
    const bad: unknown[] = [];
    const ask = async (): Promise<void> => {
      for (; next < clients;) {
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
        const now = (await engines()).find(({ id }) => id === faulty.id);
        return now?.state === 'ready' && now.pid !== faulty.pid;
      },
      60_000,
    );
  },
  120_000,
);

test.each([
  ['500: the client gets 502 after two attempts', { 'fail-requests': true }, 502],
  ['400: the client gets the refusal', { 'answer-status': 400 }, 400],
])(
  'H4: all engines answer %s, and no engine is taken out of service',
  async (_what, fault, status) => {
    await using stack = await startStack({ engines: 2 });
    const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
    const before = await engines();
    for (const one of before) await setFaults(one, fault);
    for (let n = 0; n < 5; n += 1)
      expect((await postJson(`${stack.url}/v1/chat/completions`, question(n))).status).toBe(status);
    expect((await engines()).map(({ id, state, pid }) => [id, state, pid])).toEqual(
      before.map(({ id, pid }) => [id, 'ready', pid]),
    );
  },
  60_000,
);

test('H4: callers whose own requests are refused make no engine an outlier', async () => {
  await using stack = await startStack({ engines: 2 });
  for (let n = 0; n < 20; n += 1) {
    const refused = { ...question(n), logit_bias: { 9999999: 1 } };
    const both = [refused, refused, question(n)].map((body) => postJson(`${stack.url}/v1/chat/completions`, body));
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([400, 400, 200]);
  }
  expect(await stack.metric('penstock_engine_outliers_total', stack.launchers[0])).toBe(0);
}, 60_000);
