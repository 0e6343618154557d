import { expect, test } from '@jest/globals';
import { postJson } from '../support/post.ts';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const CLIENTS = 100;
const AT_A_TIME = 4;
const question = (n: number) => ({
  model: MODEL,
  max_tokens: 4,
  messages: [{ role: 'user', content: `question ${n}` }],
});

test('H4: one engine of four answers 500 to everything: no client notices, and it is started anew', async () => {
  await using stack = await startStack({ engines: 4 });
  const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
  const ill = (await engines())[0];
  if (ill === undefined) throw new Error('there are engines');
  await setFaults(ill, { 'fail-requests': true });
  let next = 0;
  const statuses: number[] = [];
  const ask = async (): Promise<void> => {
    for (; next < CLIENTS;) {
      next += 1;
      statuses.push((await postJson(`${stack.url}/v1/chat/completions`, question(next))).status);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, ask));
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  await eventually(
    'another process in its place',
    async () => {
      const now = (await engines()).find(({ id }) => id === ill.id);
      return now?.state === 'ready' && now.pid !== ill.pid;
    },
    60_000,
  );
}, 120_000);

test('H4: all engines answer 500: the client is told, after two, and none is taken out', async () => {
  await using stack = await startStack({ engines: 2 });
  const engines = async () => (await stack.status()).workers.flatMap((worker) => worker.engines);
  const before = await engines();
  for (const one of before) await setFaults(one, { 'fail-requests': true });
  for (let n = 0; n < 5; n += 1)
    expect((await postJson(`${stack.url}/v1/chat/completions`, question(n))).status).toBe(502);
  expect((await engines()).map(({ id, state, pid }) => [id, state, pid])).toEqual(
    before.map(({ id, pid }) => [id, 'ready', pid]),
  );
}, 60_000);
