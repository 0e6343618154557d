import { expect, test } from '@jest/globals';
import { groupMembers } from '../../worker-launcher/engine/process-group.ts';
import { startStream } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { testedEngine } from '../support/tested-engine.ts';

/** The limits of a GPU, because a step over text takes well below a second on either engine. */
const GPU_LIMITS = { WORKER_STALL_MS: '5000', WORKER_HANG_MS: '20000' };
const OUT_WITHIN_MS = 10_000;
const GONE_WITHIN_MS = 30_000;
const TOKENS = 1_500;
const engine = testedEngine();

test(
  'an engine freezes while its API server answers: out of dispatch, replaced with its group, its text continues on the next engine',
  async () => {
    await using stack = await engine.start(GPU_LIMITS);
    const entry = async () => (await stack.status()).workers[0]?.engines[0];
    const { pid = null, ...address } = (await entry()) ?? {};
    if (pid === null) throw new Error('a ready engine has a process');
    const stream = startStream(`${stack.url}/v1/chat/completions`, {
      model: 'Phi-3-vision-128k-instruct',
      messages: [{ role: 'user', content: 'Tell me of rivers.' }],
      max_tokens: TOKENS,
      temperature: 0,
      ignore_eos: true,
      stream_options: { include_usage: true },
      ...engine.ordinaryWords,
    });
    await stream.begun;
    await engine.freeze(address, pid);
    const frozenAt = performance.now();
    const seconds = (): string => ((performance.now() - frozenAt) / 1_000).toFixed(1);
    await eventually('out of dispatch', async () => (await entry())?.state !== 'ready', OUT_WITHIN_MS);
    const out = seconds();
    await eventually('its group has ended', () => groupMembers(pid).length === 0, GONE_WITHIN_MS);
    await eventually('another engine runs', async () => (await entry())?.pid !== pid, GONE_WITHIN_MS);
    process.stdout.write(`${engine.name}: frozen, out of dispatch after ${out} s, replaced after ${seconds()} s\n`);
    expect(Number(seconds())).toBeLessThan(GONE_WITHIN_MS / 1_000);

    const { done, error, chunks } = await stream.ended;
    expect({ done, error }).toEqual({ done: true, error: undefined });
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(TOKENS);
  },
  2 * engine.startWithinMs + engine.answerWithinMs + GONE_WITHIN_MS,
);
