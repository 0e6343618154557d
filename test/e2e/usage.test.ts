import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { png } from '../support/pictures.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const KEY_OF = {
  streams: 'key-of-streams',
  wholes: 'key-of-wholes',
  leaver: 'key-of-leaver',
  refused: 'key-of-refused',
};
type Name = keyof typeof KEY_OF;
const Rows = z.object({
  usage: z.array(z.object({ day: z.string(), key: z.string(), model: z.string() }).catchall(z.number())),
});
type Row = z.infer<typeof Rows>['usage'][number];

const folder = temporaryFolder();
let stack: Stack;
beforeAll(async () => {
  const file = join(folder.path, 'keys.json');
  const hash = (key: string): string => createHash('sha256').update(key).digest('hex');
  writeFileSync(
    file,
    JSON.stringify({ keys: Object.entries(KEY_OF).map(([id, key]) => ({ id, primary: hash(key) })) }),
  );
  const gatewayEnv = { GATEWAY_KEYS_FILE: file, GATEWAY_USAGE_METRICS: 'true' };
  stack = await startStack({ twoRedis: true, gatewayEnv, workerEnv: { PENSTOCK_SIM_ITL_MS: '5' } });
}, 120_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const post = (name: Name, path: string, body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(stack.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY_OF[name]}` },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
const ask = async (name: Name, path: string, body: object): Promise<string> => {
  const answer = await post(name, path, body);
  const text = await answer.text();
  expect([answer.status, answer.status === 200 ? '' : text]).toEqual([200, '']);
  return text;
};
const rowsOf = async (query: string): Promise<Row[]> =>
  Rows.parse(await (await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/usage?${query}`)).json()).usage;
/** Waits until a key's row fits. */
const rowOf = (name: Name, isComplete: (row: Row) => boolean): Promise<Row> =>
  eventually(`the usage of ${name}`, async () => (await rowsOf(`key=${name}`)).find(isComplete), 20_000);

const messages = [{ role: 'user', content: 'How many valves does the penstock have?' }];
const Usage = z.object({
  prompt_tokens: z.number().optional(),
  completion_tokens: z.number().optional(),
  input_tokens: z.number().optional(),
  output_tokens: z.number().optional(),
});
type Tokens = { prompt: number; answer: number };
const told = (usage: unknown): Tokens => {
  const read = Usage.parse(usage);
  return {
    prompt: read.prompt_tokens ?? read.input_tokens ?? NaN,
    answer: read.completion_tokens ?? read.output_tokens ?? NaN,
  };
};
const sumOf = (all: readonly Tokens[]): object => ({
  prompt_tokens: all.reduce((sum, { prompt }) => sum + prompt, 0),
  answer_tokens: all.reduce((sum, { answer }) => sum + answer, 0),
});
const lastUsage = (stream: string): unknown => {
  const events = stream.split('\n').filter((line) => line.startsWith('data: {'));
  return Whole.parse(JSON.parse(events.at(-1)?.slice('data: '.length) ?? '')).usage;
};
const Whole = z.object({ usage: z.unknown() });
const Completed = z.object({ response: z.object({ usage: z.unknown() }) });

test('streams of each API add up to what the engine counted, each request once', async () => {
  const stream_options = { include_usage: true };
  const streamed = { stream: true, max_tokens: 20, stream_options };
  const chat = await ask('streams', '/v1/chat/completions', { messages, ...streamed });
  const completion = await ask('streams', '/v1/completions', { prompt: 'A valve', ...streamed });
  const response = await ask('streams', '/v1/responses', { input: 'A valve', stream: true, max_output_tokens: 20 });
  const closing = response.split('\n').findLast((line) => line.startsWith('data: ')) ?? '';
  const all = [
    told(lastUsage(chat)),
    told(lastUsage(completion)),
    told(Completed.parse(JSON.parse(closing.slice('data: '.length))).response.usage),
  ];
  const row = await rowOf('streams', ({ requests }) => requests === 3);
  expect(row).toMatchObject({ ...sumOf(all), model: MODEL, picture_tokens: 0, partial_tokens: 0, refusals: 0 });
  // 20 tokens, 5 ms apart, for each of the three.
  expect(row['slot_ms']).toBeGreaterThan(3 * 19 * 5 - 30);
}, 60_000);

test('whole answers, /score and a picture too; the picture’s tokens are part of the prompt', async () => {
  const url = `data:image/png;base64,${png(640, 480).toString('base64')}`;
  const seen = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What?' },
        { type: 'image_url', image_url: { url } },
      ],
    },
  ];
  const pictured = told(
    Whole.parse(JSON.parse(await ask('wholes', '/v1/chat/completions', { messages: seen, max_tokens: 9 }))).usage,
  );
  const plain = told(
    Whole.parse(JSON.parse(await ask('wholes', '/v1/chat/completions', { messages, max_tokens: 9 }))).usage,
  );
  await ask('wholes', '/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 9 } } });
  const row = await rowOf('wholes', ({ requests }) => requests === 3);
  // The same question to /score has the same counts.
  expect(row).toMatchObject(sumOf([pictured, plain, plain]));
  expect(row['picture_tokens']).toBeGreaterThan(1_000);
  expect(row['picture_tokens']).toBeLessThan(pictured.prompt);
}, 60_000);

test('a client that leaves in the middle of a stream: what was delivered is partial', async () => {
  const leaving = new AbortController();
  const body = { messages, stream: true, max_tokens: 4_000, ignore_eos: true };
  const answer = await post('leaver', '/v1/chat/completions', body, leaving.signal);
  let text = '';
  const reader = answer.body?.getReader();
  while (text.split('\n\n').length < 30) {
    const piece: unknown = (await reader?.read())?.value;
    text += Buffer.from(piece instanceof Uint8Array ? piece : []).toString();
  }
  leaving.abort();
  const row = await rowOf('leaver', ({ requests }) => requests === 1);
  expect(row).toMatchObject({ prompt_tokens: 0, answer_tokens: 0, repeated_attempts: 0 });
  expect(row['partial_tokens']).toBeGreaterThanOrEqual(28);
  expect(row['partial_tokens']).toBeLessThan(4_000);
}, 60_000);

test('refusals are counted within seconds; a request that failed before its model was known is of an unknown one', async () => {
  expect((await post('refused', '/v1/chat/completions', { messages, max_tokens: 1e9 })).status).toBe(400);
  expect((await post('refused', '/v1/chat/completions', { messages, model: 'none' })).status).toBe(404);
  await eventually(
    'both',
    async () => (await rowsOf('key=refused')).reduce((sum, row) => sum + Number(row['refusals']), 0) === 2,
  );
  const rows = await rowsOf('key=refused');
  expect(rows.reduce((sum, row) => sum + Number(row['requests']), 0)).toBe(0);
}, 60_000);

test('/usage filters, and refuses what is no filter', async () => {
  expect((await rowsOf(`model=${MODEL}&key=streams`)).length).toBe(1);
  expect(await rowsOf('since=2999-01-01')).toEqual([]);
  for (const query of ['since=yesterday', 'keys=streams']) {
    const answer = await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/usage?${query}`);
    expect([query, answer.status]).toEqual([query, 400]);
  }
}, 60_000);

test('penstock usage prints sums, rows as JSON, and CSV', async () => {
  const url = ['--gateway-url', stack.gateways[0]?.internalUrl ?? ''];
  const text = await penstock(['usage', ...url]);
  expect(text).toMatchObject({ code: 0, stderr: '' });
  expect(text.stdout).toMatch(new RegExp(`^streams +${MODEL} +3 +\\d+ +0 +60 +0 +0 +0 +\\d+\\.\\d$`, 'm'));
  const { stdout } = await penstock(['usage', ...url, '--json', '--key', 'streams']);
  expect(JSON.parse(stdout)).toMatchObject({ key: 'streams', model: MODEL, requests: 3, answer_tokens: 60 });
  const csv = await penstock(['usage', ...url, '--csv', '--key', 'streams']);
  expect(csv.stdout).toMatch(/^day,key,model,requests,.*\n\d{4}-\d\d-\d\d,streams,Phi-3-vision-128k-instruct,3,.*\n$/);
  const wrong = await penstock(['usage', ...url, '--since', 'yesterday']);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('since must be a day such as 2026-11-30');
}, 60_000);

test('metrics by key, if the operator wants them', async () => {
  const page = await (await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/metrics`)).text();
  const labels = `key="streams",gen_ai_request_model="${MODEL}"`;
  expect(page).toContain(`penstock_key_requests_total{${labels}} 3`);
  expect(page).toContain(`penstock_key_tokens_total{${labels},gen_ai_token_type="output"} 60`);
});
