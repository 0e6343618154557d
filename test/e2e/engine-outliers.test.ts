import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const workerEnv = { PENSTOCK_SIM_ITL_MS: '20', WORKER_SLOW_WINDOW_MS: '4000', WORKER_MUTE_MS: '3000' };
const AT_A_TIME = 6;
const TOKENS = 8;

const LauncherView = z.object({
  engines: z.array(
    z.object({
      id: z.string(),
      pid: z.number().nullable(),
      socket: z.string().nullable(),
      state: z.string(),
      restarts: z.number(),
      outlier: z.object({ reason: z.string(), figures: z.record(z.string(), z.number()) }).nullable(),
    }),
  ),
});

function launcherOf(stack: Stack): Stack['launchers'][number] {
  const [launcher] = stack.launchers;
  if (launcher === undefined) throw new Error('the stack has no launcher');
  return launcher;
}

async function enginesOf(stack: Stack) {
  const answer = await fetch(`${launcherOf(stack).internalUrl}/status`);
  return LauncherView.parse(await answer.json()).engines;
}

async function engine(stack: Stack, id = 'engine-0') {
  const found = (await enginesOf(stack)).find((one) => one.id === id);
  if (found === undefined) throw new Error(`no engine ${id}`);
  return found;
}

/** Clients that send one question after another, streamed and not, until they are stopped. */
function startLoad(stack: Stack) {
  const answers: { status: number; isWhole: boolean }[] = [];
  let isOver = false;
  let next = 0;
  const ask = async (): Promise<void> => {
    while (!isOver) {
      next += 1;
      const stream = next % 2 === 0;
      const messages = [{ role: 'user', content: `question ${next}` }];
      const body = { model: MODEL, max_tokens: TOKENS, messages, stream };
      const { status, text } = await postJson(`${stack.url}/v1/chat/completions`, body);
      answers.push({ status, isWhole: !text.includes('"error"') && (!stream || text.endsWith('data: [DONE]\n\n')) });
    }
  };
  const clients = Promise.all(Array.from({ length: AT_A_TIME }, ask));
  return {
    /** ends the clients, whether the test passed or not */
    [Symbol.asyncDispose]: async () => {
      isOver = true;
      await clients.catch(() => {});
    },
    answered: () => answers.length,
    /** @returns the incomplete answers */
    stop: async () => {
      isOver = true;
      await clients;
      return answers.filter(({ status, isWhole }) => status !== 200 || !isWhole);
    },
  };
}

test('H5: an engine that is ten times slower than its siblings gets no more requests, nothing fails, and it is restarted', async () => {
  await using stack = await startStack({ engines: 3, workerEnv });
  const ill = await engine(stack);
  await setFaults(ill, { slow: 10 });
  await using load = startLoad(stack);
  const out = await eventually('taken out', async () => (await engine(stack)).outlier ?? undefined, 60_000);
  expect(out.reason).toBe('slow');
  await eventually(
    'another process in its place',
    async () => {
      const now = await engine(stack);
      return now.state === 'ready' && now.pid !== ill.pid && now.outlier === null;
    },
    60_000,
  );
  expect(await load.stop()).toEqual([]);
  const launcher = launcherOf(stack);
  expect(launcher.output()).toMatch(/"engine":"engine-0","reason":"slow",.*"event":"engine taken out of dispatch"/);
  expect(await stack.metric('penstock_engine_outliers_total', launcher)).toBe(1);
  expect(await stack.metric('penstock_engine_restarts_total', launcher)).toBe(1);
}, 180_000);

test('H5: an engine that was slow for a time is put back into dispatch, with the same process', async () => {
  await using stack = await startStack({ engines: 2, workerEnv });
  const ill = await engine(stack);
  await setFaults(ill, { slow: 10 });
  await using load = startLoad(stack);
  await eventually('taken out', async () => (await engine(stack)).outlier?.reason === 'slow', 60_000);
  await setFaults(ill, null);
  await eventually(
    'put back',
    async () => {
      const now = await engine(stack);
      return now.state === 'ready' && now.outlier === null;
    },
    60_000,
  );
  expect(await load.stop()).toEqual([]);
  expect((await engine(stack)).pid).toBe(ill.pid);
  expect(launcherOf(stack).output()).toContain('engine put back into dispatch: it is healthy');
}, 180_000);

test('H5: if all engines are equally slow, none is taken out', async () => {
  await using stack = await startStack({ engines: 3, workerEnv });
  const before = await enginesOf(stack);
  for (const one of before) await setFaults(one, { slow: 10 });
  await using load = startLoad(stack);
  // three clients per engine, 1.6 s per answer: several windows
  await eventually('many answers', async () => load.answered() >= 60, 120_000);
  expect(await load.stop()).toEqual([]);
  expect(await stack.metric('penstock_engine_outliers_total', launcherOf(stack))).toBe(0);
  expect((await enginesOf(stack)).map(({ pid, state }) => [pid, state])).toEqual(
    before.map(({ pid }) => [pid, 'ready']),
  );
}, 180_000);

test.each([
  ['takes requests and never answers', { engines: 2 }, { mute: true, saturate: true }],
  ['sends a head and no token, as the only one of its dispatcher,', { engines: 5 }, { saturate: true }],
  ['falls silent after its first event', { engines: 3 }, { 'hang-after': 1 }],
])(
  'H5: an engine that %s while its siblings answer: other engines answer all requests, and it is restarted',
  async (_name, size, faults) => {
    await using stack = await startStack({ ...size, workerEnv });
    const id = `engine-${size.engines - 1}`;
    const ill = await engine(stack, id);
    await setFaults(ill, faults);
    await using load = startLoad(stack);
    await eventually('taken out', async () => (await engine(stack, id)).outlier?.reason === 'mute', 60_000);
    expect(await load.stop()).toEqual([]);
    await eventually(
      'another process in its place',
      async () => {
        const now = await engine(stack, id);
        return now.state === 'ready' && now.pid !== ill.pid;
      },
      60_000,
    );
  },
  180_000,
);
