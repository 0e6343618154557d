import { afterAll, beforeAll, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const STREAMS = 40;

let stack: Stack;
let openai: OpenAI;
beforeAll(async () => {
  stack = await startStack({ engines: 2, workerEnv: { PENSTOCK_SIM_ITL_MS: '50', PENSTOCK_SIM_MERGE_EVERY: '7' } });
  openai = new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'unused', maxRetries: 0 });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const request = (n: number, extra: object = {}) => ({
  model: MODEL,
  messages: [{ role: 'user' as const, content: `Tell me of river ${n}.` }],
  max_tokens: 100,
  temperature: 0,
  ...extra,
});

interface Seen {
  text: string;
  ids: Set<string>;
  roles: number;
  completionTokens: number | undefined;
  promptTokens: number | undefined;
  /** number of tokens in the events of the answer */
  counts: number[];
  error?: unknown;
}
async function stream(n: number, onToken: () => void, extra: object = {}): Promise<Seen> {
  const seen: Seen = {
    text: '',
    ids: new Set(),
    roles: 0,
    completionTokens: undefined,
    promptTokens: undefined,
    counts: [],
  };
  // Half of them have usage in each event.
  const usage = { include_usage: true, ...(n % 2 === 0 ? { continuous_usage_stats: true } : {}) };
  try {
    const chunks = await openai.chat.completions.create({
      ...request(n, { ignore_eos: true, ...extra }),
      stream: true,
      stream_options: usage,
    });
    for await (const chunk of chunks) {
      seen.ids.add(`${chunk.id} ${chunk.created} ${chunk.model}`);
      if (chunk.choices[0]?.delta.role !== undefined) seen.roles += 1;
      seen.text += chunk.choices[0]?.delta.content ?? '';
      seen.completionTokens = chunk.usage?.completion_tokens ?? seen.completionTokens;
      if (chunk.usage) seen.counts.push(chunk.usage.completion_tokens);
      seen.promptTokens = chunk.usage?.prompt_tokens ?? seen.promptTokens;
      onToken();
    }
  } catch (error) {
    seen.error = error;
  }
  return seen;
}
async function killOneEngine(): Promise<void> {
  // The gateway's view of the engines is up to a second old.
  const pid = await eventually('an engine is busy', async () => {
    const { workers } = await stack.status();
    return workers.flatMap(({ engines }) => engines).find(({ inFlight }) => inFlight.text > 0)?.pid;
  });
  process.kill(pid, 'SIGKILL');
}

test('an engine is killed under plain-text streams: each continues on the other one with unbroken text', async () => {
  const undisturbed = await Promise.all(Array.from({ length: STREAMS }, (_, n) => stream(n, () => {})));
  let tokens = 0;
  const running = Promise.all(
    Array.from({ length: STREAMS }, (_, n) =>
      stream(n, () => {
        tokens += 1;
      }),
    ),
  );
  await eventually('streams run', () => tokens > STREAMS * 20);
  await killOneEngine();
  const seen = await running;
  for (const [n, one] of seen.entries()) {
    expect(one.error).toBeUndefined();
    expect(one.text).toBe(undisturbed[n]?.text);
    expect(one.ids.size).toBe(1);
    expect(one.roles).toBe(1);
    expect([one.completionTokens, one.promptTokens]).toEqual([100, undisturbed[n]?.promptTokens]);
    expect(one.counts).toEqual(one.counts.toSorted((a, b) => a - b));
    expect(one.counts.length > 1).toBe(n % 2 === 0);
  }
  expect(await stack.metric('penstock_continuations_total')).toBeGreaterThan(0);
}, 60_000);

test('a stream that cannot be continued ends with an explicit error, not silently', async () => {
  await eventually('both engines are ready', async () => {
    const { workers } = await stack.status();
    return workers.flatMap(({ engines }) => engines).filter(({ state }) => state === 'ready').length === 2;
  });
  let tokens = 0;
  const running = Promise.all(
    Array.from({ length: 6 }, (_, n) =>
      stream(
        n,
        () => {
          tokens += 1;
        },
        { presence_penalty: 0.5 },
      ),
    ),
  );
  await eventually('streams run', () => tokens > 60);
  await killOneEngine();
  const seen = await running;
  const failed = seen.filter(({ error }) => error !== undefined);
  expect(failed.length).toBeGreaterThan(0);
  for (const { error } of failed) expect(error).toMatchObject({ code: 'worker_lost' });
  for (const { error, completionTokens } of seen) expect(error !== undefined || completionTokens === 100).toBe(true);
});

test('an engine is killed under non-streamed requests: they run again and all are answered', async () => {
  await eventually('both engines are ready', async () => {
    const { workers } = await stack.status();
    return workers.flatMap(({ engines }) => engines).filter(({ state }) => state === 'ready').length === 2;
  });
  const running = Promise.all(
    Array.from({ length: 20 }, (_, n) => openai.chat.completions.create(request(n, { ignore_eos: true }))),
  );
  await eventually('an engine is busy', async () => (await stack.engineMetric('vllm:num_requests_running')) > 5);
  await killOneEngine();
  const answers = await running;
  expect(answers.map(({ usage }) => usage?.completion_tokens)).toEqual(Array.from({ length: 20 }, () => 100));
});
