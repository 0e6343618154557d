import { expect, test } from '@jest/globals';
import { latenessMs, pause } from '../drill/processes.mjs';
import { call } from '../support/call.ts';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Every limit is the default of a GPU node: nothing is shortened, as the figures below are what an operator is promised. */
const workerEnv = { PENSTOCK_SIM_ITL_MS: '10' };
const OUT_WITHIN_MS = 30_000;
/** `GATEWAY_IDLE_TIMEOUT_MS` of a gateway without settings */
const IDLE_LIMIT_MS = 60_000;
const REPLACED_WITHIN_MS = 90_000;
const CALLERS = 8;
/** Callers that meet the silent engine shortly before its test fails. */
const LATE_AFTER_MS = [7_000, 12_000, 16_000, 19_000];
/** of the simulator's cache */
const BYTES_PER_TOKEN = 393_216;

const engines = async (stack: Stack) => (await stack.status()).workers.flatMap((worker) => worker.engines);

/** Callers that send one request after another, every second one streamed, until they are stopped; and the late ones. */
function startCallers(url: string) {
  let isOver = false;
  let sent = 0;
  let longestMs = 0;
  const incomplete: string[] = [];
  const ask = async (): Promise<void> => {
    while (!isOver) {
      sent += 1;
      const stream = sent % 2 === 0;
      const messages = [{ role: 'user', content: `question ${sent}` }];
      const { status, body, tookMs } = await call(`${url}/v1/chat/completions`, { messages, max_tokens: 8, stream })
        .ended;
      longestMs = Math.max(longestMs, tookMs);
      if (status !== 200 || body.includes('"error"') || (stream && !body.endsWith('data: [DONE]\n\n')))
        incomplete.push(`${status} ${body}`);
    }
  };
  const late = LATE_AFTER_MS.map(async (afterMs) => {
    await pause(afterMs);
    await ask();
  });
  const callers = Promise.all([...Array.from({ length: CALLERS }, ask), ...late]);
  return {
    stop: async () => {
      isOver = true;
      await callers;
      return { incomplete, longestMs };
    },
    [Symbol.asyncDispose]: async () => {
      isOver = true;
      await callers.catch(() => {});
    },
  };
}

const BESIDE = { engines: 3 };
const ALONE = { launchers: 2 };
const HEAD_ONLY = { 'hang-after': 0 };
const ROLE_ONLY = { 'hang-after': 1 };

test.concurrent.each([
  ['its response head and nothing more', 'beside engines of its node', { size: BESIDE, faults: HEAD_ONLY }],
  ['its head and the role, and nothing more', 'beside engines of its node', { size: BESIDE, faults: ROLE_ONLY }],
  ['its response head and nothing more', 'alone on its node', { size: ALONE, faults: HEAD_ONLY }],
  ['its head and the role, and nothing more', 'alone on its node', { size: ALONE, faults: ROLE_ONLY }],
  ['its head while the request waits in it', 'alone on its node', { size: ALONE, faults: { saturate: true } }],
  ['nothing at all', 'alone on its node', { size: ALONE, faults: { mute: true } }],
])(
  'H4, H5: an engine that sends %s (%s), while /health and /metrics answer: each caller gets a complete answer, the engine is out of dispatch with its slots free within 30 s, and is replaced',
  async (_what, _where, { size, faults }) => {
    await using stack = await startStack({ ...size, workerEnv });
    const [silent] = await engines(stack);
    if (silent === undefined) throw new Error('a stack has an engine');
    const now = async () => (await engines(stack)).find(({ socket }) => socket === silent.socket);
    await setFaults(silent, faults);
    await using callers = startCallers(stack.url);
    const isOut = async (): Promise<boolean> => {
      const seen = await now();
      return seen?.pid !== silent.pid || (seen?.state !== 'ready' && seen?.inFlight.text === 0);
    };
    await eventually('out of dispatch, without requests', isOut, OUT_WITHIN_MS + latenessMs(1));
    const isReplaced = async (): Promise<boolean> => {
      const seen = await now();
      return seen?.state === 'ready' && seen.pid !== silent.pid;
    };
    await eventually('another process in its place', isReplaced, REPLACED_WITHIN_MS + latenessMs(1));
    const { incomplete, longestMs } = await callers.stop();
    expect(incomplete).toEqual([]);
    expect(longestMs).toBeLessThan(IDLE_LIMIT_MS);
  },
  240_000,
);

test.concurrent(
  'H5: an engine alone whose memory is full of answers that are not streamed is silent for long and stays in service',
  async () => {
    // Room for the tokens of one request: each of the others, and each probe, waits in the engine.
    const roomForOne = `--kv-cache-memory-bytes ${100 * BYTES_PER_TOKEN}`;
    await using stack = await startStack({
      workerEnv: { PENSTOCK_SIM_ITL_MS: '20', WORKER_MUTE_MS: '2000', WORKER_ENGINE_ARGS: roomForOne },
    });
    const [before] = await engines(stack);
    const messages = [{ role: 'user', content: 'a long question '.repeat(50) }];
    const calls = [1, 2, 3].map(() =>
      call(`${stack.url}/v1/chat/completions`, { messages, max_tokens: 500, ignore_eos: true }),
    );
    const ends = await Promise.all(calls.map(({ ended }) => ended));
    expect(ends.map(({ status }) => status)).toEqual([200, 200, 200]);
    // Each took some five times as long as the silence that is a doubt.
    expect(Math.max(...ends.map(({ tookMs }) => tookMs))).toBeGreaterThan(20_000);
    expect((await engines(stack)).map(({ pid, state }) => [pid, state])).toEqual([[before?.pid, 'ready']]);
    expect(await stack.metric('penstock_engine_outliers_total', stack.launchers[0])).toBe(0);
  },
  240_000,
);
