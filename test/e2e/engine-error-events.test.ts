import { expect, test } from '@jest/globals';
import { setFaults } from '../support/engine-request.mjs';
import { eventually } from '../support/eventually.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const CLIENTS = 60;
const AT_A_TIME = 4;

const enginesOf = async (stack: Stack) => (await stack.status()).workers.flatMap((worker) => worker.engines);

/** Sends this many questions, a few at a time. @returns status and text of each */
async function askMany(stack: Stack, stream: boolean): Promise<{ status: number; text: string }[]> {
  const answers: { status: number; text: string }[] = [];
  let next = 0;
  const ask = async (): Promise<void> => {
    for (; next < CLIENTS;) {
      next += 1;
      const messages = [{ role: 'user', content: `question ${next}` }];
      const { status, text } = await postJson(`${stack.url}/v1/chat/completions`, {
        model: MODEL,
        max_tokens: 4,
        messages,
        stream,
      });
      answers.push({ status, text });
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, ask));
  return answers;
}

test.each([0, 1])(
  'H4: one engine of four sends an error event in each stream after %d events: no client notices, and it is restarted',
  async (events) => {
    await using stack = await startStack({ engines: 4, workerEnv: { WORKER_IDLE_CANARY_MS: '5000' } });
    const ill = (await enginesOf(stack))[0];
    if (ill === undefined) throw new Error('no engine');
    await setFaults(ill, { 'error-after': events });
    const answers = await askMany(stack, true);
    const bad = answers.filter(
      ({ status, text }) => status !== 200 || text.includes('"error"') || !text.endsWith('data: [DONE]\n\n'),
    );
    expect(bad).toEqual([]);
    await eventually(
      'another process in its place',
      async () => {
        const now = (await enginesOf(stack)).find(({ id }) => id === ill.id);
        return now?.state === 'ready' && now.pid !== ill.pid;
      },
      60_000,
    );
  },
  120_000,
);

test.each([
  ['the only engine of its dispatcher', { engines: 5 }],
  ['the only engine of its worker', { launchers: 2 }],
])(
  'H4: %s answers 500 to everything: no client notices, and it is restarted',
  async (_name, size) => {
    await using stack = await startStack(size);
    const { workers } = await stack.status();
    const alone = workers.find(({ engines }) => engines.length === 1);
    const ill = alone?.engines[0];
    if (alone === undefined || ill === undefined) throw new Error('one of two dispatchers has one engine');
    await setFaults(ill, { 'fail-requests': true });
    const statuses = (await askMany(stack, false)).map(({ status }) => status);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    await eventually(
      'another process in its place',
      async () => {
        const worker = (await stack.status()).workers.find(({ incarnation }) => incarnation === alone.incarnation);
        const now = worker?.engines[0];
        return now?.state === 'ready' && now.pid !== ill.pid;
      },
      60_000,
    );
  },
  120_000,
);
