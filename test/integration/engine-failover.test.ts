import { expect, test } from '@jest/globals';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';

async function enginesOf(stack: Stack) {
  return (await stack.status()).workers.flatMap(({ engines }) => engines);
}

async function ask(stack: Stack, n: number): Promise<number> {
  const body = { model: MODEL, messages: [{ role: 'user', content: `question ${n}` }], max_tokens: 60 };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  await answer.text();
  return answer.status;
}

test('with default times, a frozen engine is out of dispatch in 10 s and replaced in 30 s, and other engines answer its requests', async () => {
  await using stack = await startStack({ engines: 2, workerEnv: { PENSTOCK_SIM_ITL_MS: '50' } });
  const [frozen] = await enginesOf(stack);
  const answers = Promise.all(Array.from({ length: 12 }, (_, n) => ask(stack, n)));
  await eventually('work on both', async () => (await enginesOf(stack)).every(({ inFlight }) => inFlight.text > 0));
  await setFaults(frozen ?? {}, { 'freeze-core': true });
  const since = performance.now();
  const now = async () => (await enginesOf(stack)).find(({ id }) => id === frozen?.id);
  await eventually('doubt', async () => (await now())?.state === 'suspect', 15_000);
  expect(performance.now() - since).toBeLessThan(10_000);
  await eventually('a new process', async () => ![null, frozen?.pid].includes((await now())?.pid ?? null), 35_000);
  expect(performance.now() - since).toBeLessThan(30_000);
  expect(groupMembers(frozen?.pid ?? 0)).toEqual([]);
  expect(await answers).toEqual(Array.from({ length: 12 }, () => 200));
}, 120_000);
