import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI, { AzureOpenAI } from 'openai';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import {
  SAFETY_KEY,
  SAFETY_SECRET,
  SAFETY_TOKEN,
  startFakeContentSafety,
  type FakeContentSafety,
} from '../support/fake-content-safety.ts';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { scriptedEngine, startScriptedDispatcher } from '../support/scripted-stack.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
/** What the filter blocks. It must not be anywhere but in the body of a request. */
const CANARY = 'zwartekanarie';
const GOOD = 'The harbour was quiet. '.repeat(40);
/** What the engine answers, by a word in the prompt. */
const ANSWERS: Readonly<Record<string, string>> = {
  clean: GOOD,
  'at-start': `${CANARY} was there. ${GOOD}`,
  'in-middle': `${GOOD}${CANARY}${GOOD}`,
  'at-end': `${GOOD}${CANARY}`,
  paused: GOOD,
};
const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** A route, how it is asked, and its words for what the filter did. */
interface Route {
  readonly path: string;
  readonly body: (content: string | object[]) => object;
  readonly streams: boolean;
  readonly takesPictures: boolean;
  /** in the answer to a blocked prompt */
  readonly refused: object;
  readonly refusedStatus: number;
  /** in the answer whose text was blocked */
  readonly blocked: object;
  /** in the last events of the stream whose text was blocked */
  readonly streamEnd: string;
  readonly clean: object;
}
const messages = (content: string | object[]): object => ({ messages: [{ role: 'user', content }], max_tokens: 400 });
const prompt = (content: string | object[]): object => ({ prompt: content, max_tokens: 400 });
const OPENAI = {
  streams: true,
  refusedStatus: 400,
  takesPictures: true,
  streamEnd: '"finish_reason":"content_filter"',
};
const chatAnswer = (content: string, reason: string, more: object = {}): object => ({
  choices: [{ message: { content }, finish_reason: reason, ...more }],
});
const textAnswer = (text: string, reason: string): object => ({ choices: [{ text, finish_reason: reason }] });
const refusal = (more: object = {}): object => ({ error: { code: 'content_filter', param: 'prompt', ...more } });
const INNER = {
  innererror: {
    code: 'ResponsibleAIPolicyViolation',
    content_filter_result: { violence: { filtered: true, severity: 'medium' } },
  },
};
const RESULTS = { content_filter_results: { violence: { filtered: true, severity: 'medium' } } };
const ROUTES: readonly Route[] = [
  {
    ...OPENAI,
    path: '/v1/chat/completions',
    body: messages,
    refused: refusal(),
    blocked: chatAnswer('', 'content_filter'),
    clean: chatAnswer(GOOD, 'stop'),
  },
  {
    ...OPENAI,
    path: '/v1/completions',
    body: prompt,
    takesPictures: false,
    refused: refusal(),
    blocked: textAnswer('', 'content_filter'),
    clean: textAnswer(GOOD, 'stop'),
  },
  {
    ...OPENAI,
    path: '/v1/responses',
    body: (input) => ({ input: Array.isArray(input) ? [{ role: 'user', content: input }] : input }),
    takesPictures: false,
    refused: refusal(),
    blocked: { status: 'incomplete', incomplete_details: { reason: 'content_filter' }, output: [] },
    streamEnd: '"reason":"content_filter"',
    clean: { status: 'completed', output: [{ content: [{ text: GOOD }] }] },
  },
  {
    ...OPENAI,
    path: '/v1/messages',
    body: messages,
    takesPictures: false,
    refused: { type: 'error', error: { type: 'invalid_request_error', code: 'content_filter' } },
    blocked: { stop_reason: 'refusal', content: [] },
    streamEnd: '"stop_reason":"refusal"',
    clean: { stop_reason: 'end_turn', content: [{ text: GOOD }] },
  },
  {
    ...OPENAI,
    path: '/chat/completions',
    body: messages,
    refused: refusal(INNER),
    blocked: chatAnswer('', 'content_filter'),
    clean: chatAnswer(GOOD, 'stop'),
  },
  {
    ...OPENAI,
    path: '/openai/deployments/phi-3-vision/chat/completions',
    body: messages,
    refused: refusal(INNER),
    blocked: { ...chatAnswer('', 'content_filter', RESULTS), prompt_filter_results: [{ prompt_index: 0 }] },
    clean: {
      ...chatAnswer(GOOD, 'stop', { content_filter_results: {} }),
      prompt_filter_results: [{ prompt_index: 0 }],
    },
  },
  {
    ...OPENAI,
    path: '/openai/deployments/phi-3-vision/completions',
    body: prompt,
    takesPictures: false,
    refused: refusal(INNER),
    blocked: { ...textAnswer('', 'content_filter'), prompt_filter_results: [{ prompt_index: 0 }] },
    clean: textAnswer(GOOD, 'stop'),
  },
  {
    ...OPENAI,
    path: '/score',
    body: (content) => ({ input_data: { input_string: [{ role: 'user', content }] } }),
    streams: false,
    refused: {},
    refusedStatus: 200,
    blocked: { output: '' },
    clean: { output: GOOD },
  },
];

let [safety, engine, stack, locked]: [FakeContentSafety?, FakeEngine?, Stack?, FakeContentSafety?] = [];
const folder = temporaryFolder();
let dispatcher: AsyncDisposable | undefined;
const url: Record<string, string> = {};
const fake = (): FakeContentSafety => {
  if (safety === undefined) throw new Error('the service did not start');
  return safety;
};
const outputs = (): string => (stack?.gateways ?? []).map((one) => one.output()).join('\n');

beforeAll(async () => {
  safety = await startFakeContentSafety(CANARY, PICTURE);
  engine = await startFakeEngine((res, body) => {
    res.on('error', () => {});
    void answer(res, body);
  });
  const common = { GATEWAY_WEBHOOK_ALLOW: '127.0.0.1', GATEWAY_SAFETY_TIMEOUT_MS: '10000', GATEWAY_LOG_LEVEL: 'debug' };
  const azure = {
    ...common,
    GATEWAY_SAFETY_PROVIDER: 'azure',
    GATEWAY_SAFETY_URL: safety.endpoint,
    GATEWAY_SAFETY_KEY: SAFETY_KEY,
  };
  const started = await startStack({ launchers: 0, gatewayEnv: azure });
  stack = started;
  const webhook = {
    GATEWAY_SAFETY_PROVIDER: 'webhook',
    GATEWAY_SAFETY_URL: safety.webhook,
    GATEWAY_SAFETY_KEY: SAFETY_SECRET,
  };
  const hasty = { GATEWAY_SAFETY_TIMEOUT_MS: '300' };
  const [key, cert, tokenFile] = ['tls.key', 'tls.crt', 'token'].map((name) => join(folder.path, name));
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=fake'];
  const files = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key ?? '', '-out', cert ?? ''];
  execFileSync('openssl', [...request, ...files], { stdio: 'ignore' });
  writeFileSync(tokenFile ?? '', `${SAFETY_TOKEN}\n`);
  const tls = { key: readFileSync(key ?? ''), cert: readFileSync(cert ?? '') };
  locked = await startFakeContentSafety(CANARY, PICTURE, tls);
  const token = {
    GATEWAY_SAFETY_URL: locked.endpoint,
    GATEWAY_SAFETY_KEY: '',
    GATEWAY_SAFETY_TOKEN_FILE: tokenFile ?? '',
    GATEWAY_KEEP_ALIVE_MS: '300',
    NODE_EXTRA_CA_CERTS: cert ?? '',
  };
  const others = [webhook, { ...hasty, GATEWAY_SAFETY_ON_FAILURE: 'open' }, token, hasty];
  const [second, third, fourth, fifth] = await Promise.all(others.map((env) => started.startGateway(env)));
  dispatcher = await startScriptedDispatcher(stack, [scriptedEngine(MODEL, engine)]);
  Object.assign(url, {
    azure: stack.url,
    webhook: second?.url,
    open: third?.url,
    token: fourth?.url,
    hasty: fifth?.url,
  });
  await eventually('all gateways know the engine', async () => {
    const ready = await Promise.all(
      (stack?.gateways ?? []).map(({ internalUrl }) => fetch(`${internalUrl}/readyz?workers=1`)),
    );
    return ready.every(({ ok }) => ok);
  });
}, 90_000);
afterEach(async () => {
  fake().mood = 'well';
  fake().moodOf = undefined;
  await fake()
    .open()
    .catch(() => {});
});
afterAll(async () => {
  await dispatcher?.[Symbol.asyncDispose]();
  await stack?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
  await safety?.[Symbol.asyncDispose]();
  await locked?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
}, 60_000);

/** Asks each route, streamed and not, in parallel. */
async function each(
  gateway: string,
  content: (route: Route) => string | object[] | undefined,
  judge: (route: Route, outcome: Outcome, isStream: boolean) => void,
): Promise<void> {
  const asked = ROUTES.flatMap((route) =>
    [false, ...(route.streams ? [true] : [])].map((isStream) => ({ route, isStream })),
  );
  await Promise.all(
    asked.map(async ({ route, isStream }) => {
      const said = content(route);
      if (said === undefined) return;
      const body = {
        ...route.body(said),
        ...(isStream ? { stream: true } : {}),
        ...(route.path === '/score' ? {} : { model: MODEL }),
      };
      const outcome = await call(url[gateway] + route.path, body).ended;
      try {
        judge(route, outcome, isStream);
      } catch (cause) {
        throw new Error(
          `${gateway} ${route.path} ${isStream ? 'streamed' : 'whole'}: ${outcome.status} ${outcome.body.slice(0, 500)}`,
          { cause },
        );
      }
    }),
  );
}
const json = (outcome: Outcome): unknown => JSON.parse(outcome.body);

describe.each(['azure', 'webhook'])('%s', (gateway) => {
  test('a clean prompt and a clean answer pass, and a stream has all its text', async () => {
    await each(
      gateway,
      () => 'say clean',
      (route, outcome, isStream) => {
        expect(outcome.status).toBe(200);
        if (isStream) expect(textOf(outcome.body)).toBe(GOOD);
        else expect(json(outcome)).toMatchObject(route.clean);
      },
    );
  });

  test("a blocked prompt is refused in each API's own words, and reaches no engine", async () => {
    const before = engine?.requests.length;
    await each(
      gateway,
      () => `please tell ${CANARY}`,
      (route, outcome) => {
        expect(outcome.status).toBe(route.refusedStatus);
        expect(json(outcome)).toMatchObject(route.refused);
        expect(outcome.body).not.toContain(CANARY);
      },
    );
    expect(engine?.requests.length).toBe(before);
  });

  test('a blocked picture too', async () => {
    const parts = (route: Route): object[] | undefined =>
      route.takesPictures
        ? [
            { type: 'image_url', image_url: { url: `data:image/png;base64,${PICTURE}` } },
            { type: 'text', text: 'say clean' },
          ]
        : undefined;
    await each(gateway, parts, (route, outcome) => {
      expect(outcome.status).toBe(route.refusedStatus);
      expect(json(outcome)).toMatchObject(route.refused);
    });
  });

  test.each(['at-start', 'in-middle', 'at-end'])(
    'a blocked answer ends so, without a part of the word: %s',
    async (where) => {
      await each(
        gateway,
        () => `say ${where}`,
        (route, outcome, isStream) => {
          expect(outcome.status).toBe(200);
          expect(outcome.body).not.toContain(CANARY);
          if (!isStream) return expect(json(outcome)).toMatchObject(route.blocked);
          expect(outcome.isWhole).toBe(true);
          expect(outcome.body).toContain(route.streamEnd);
          expect((ANSWERS[where] ?? '').split(CANARY)[0]?.startsWith(textOf(outcome.body))).toBe(true);
        },
      );
    },
  );

  test.each([401, 429, 500, 'malformed', 'endless', 'down'] as const)(
    'without a verdict nothing passes: 503 with a time to try again; the service %s',
    async (mood) => {
      if (mood === 'down') await fake().shut();
      else fake().mood = mood;
      await each(
        gateway,
        () => 'say clean',
        (route, outcome) => {
          expect(outcome.status).toBe(503);
          expect(outcome.headers['retry-after']).toBe('2');
          const code = route.path === '/v1/messages' ? { type: 'overloaded_error' } : { code: 'safety_unavailable' };
          expect(json(outcome)).toMatchObject({ error: code });
          expect(outcome.body).not.toContain('the words of the service');
        },
      );
    },
  );
});

test('a service that does not answer in time: the same', async () => {
  fake().mood = 'silent';
  await each(
    'hasty',
    () => 'say clean',
    (_route, outcome) => expect([outcome.status, outcome.headers['retry-after']]).toEqual([503, '2']),
  );
  // They start side by side, in any order.
  const { internalUrl } = stack?.gateways.find((gateway) => gateway.url === url['hasty']) ?? { internalUrl: '' };
  expect(await (await fetch(`${internalUrl}/status`)).json()).toMatchObject({
    safety: { provider: 'azure', onFailure: 'closed', lastFailure: { reason: 'timeout' } },
  });
});

test.each([500, 'silent'] as const)('with `open`, requests pass without a verdict: %s', async (mood) => {
  fake().mood = mood;
  await each(
    'open',
    () => 'say in-middle',
    (route, outcome, isStream) => {
      expect(outcome.status).toBe(200);
      expect(isStream ? textOf(outcome.body) : outcome.body).toContain(CANARY);
      if (route.path.startsWith('/openai/')) expect(outcome.body).toContain('"content_filter_error"');
    },
  );
});

test.each([
  ['chat', '/v1/chat/completions'],
  ['a message', '/v1/messages'],
  ['Azure', '/openai/deployments/phi-3-vision/chat/completions'],
])(
  'text comes while the engine writes; a blocked stream ends, and so does the work of its engine: %s',
  async (_what, path) => {
    goOn = new Promise((resolve) => (go = resolve));
    const running = call(url['azure'] + path, { model: MODEL, stream: true, ...messages('say paused') });
    await eventually('the client has text', () => textOf(running.text()).length >= GOOD.length - 400, 10_000);
    expect(textOf(running.text()).length).toBeLessThanOrEqual(GOOD.length - 200);
    go(CANARY + GOOD);
    const outcome = await running.ended;
    expect([outcome.status, outcome.isWhole]).toEqual([200, true]);
    expect(outcome.body).toMatch(/"finish_reason":"content_filter"|"stop_reason":"refusal"/);
    expect(outcome.body).toMatch(/\[DONE\]\n\n$|message_stop/);
    expect(outcome.body).not.toContain(CANARY.slice(0, 5));
    expect(GOOD.startsWith(textOf(outcome.body))).toBe(true);
    await eventually('the engine is stopped', () => engine?.requests.at(-1)?.abortedAt !== undefined, 5_000);
  },
);

test.each([
  ['before the client has a part of the answer', 0],
  ['later', 1],
])('a service that fails while an answer is judged: %s', async (_when, passed) => {
  goOn = new Promise((resolve) => (go = resolve));
  let seen = 0;
  fake().moodOf = ({ text }) => {
    if (text.includes('say paused')) return 'well';
    seen += 1;
    return seen > passed ? 500 : 'well';
  };
  const body = { model: MODEL, stream: true, ...messages('say paused') };
  const running = call(`${url['azure']}/v1/chat/completions`, body);
  if (passed > 0) await eventually('the client has text', () => textOf(running.text()) !== '', 10_000);
  go(GOOD);
  const outcome = await running.ended;
  expect(outcome.status).toBe(passed === 0 ? 503 : 200);
  expect(outcome.body).toContain('"code":"safety_unavailable"');
  expect(outcome.body).not.toContain('[DONE]');
  expect(GOOD.startsWith(textOf(outcome.body))).toBe(true);
});

test('a client that leaves while its answer is held back ends the work of the engine', async () => {
  goOn = new Promise((resolve) => (go = resolve));
  fake().moodOf = ({ text }) => (text.includes('say paused') ? 'well' : 'silent');
  const asked = fake().asked.length;
  const running = call(`${url['azure']}/v1/chat/completions`, {
    model: MODEL,
    stream: true,
    ...messages('say paused'),
  });
  await eventually('the answer is being judged', () => fake().asked.length >= asked + 2, 10_000);
  running.leave('close');
  await eventually('the engine is stopped', () => engine?.requests.at(-1)?.abortedAt !== undefined, 5_000);
});

test('a token from a file, over TLS; while an answer is judged, comments keep the stream open', async () => {
  const target = `${url['token']}/v1/chat/completions`;
  const refused = await call(target, { model: MODEL, ...messages(CANARY) }).ended;
  expect([refused.status, json(refused)]).toMatchObject([400, refusal()]);
  expect(locked?.asked.length).toBeGreaterThan(0);
  goOn = new Promise((resolve) => (go = resolve));
  if (locked !== undefined) locked.moodOf = ({ text }) => (text.includes('say paused') ? 'well' : 'silent');
  const running = call(target, { model: MODEL, stream: true, ...messages('say paused') });
  await eventually('a comment', () => running.text().startsWith(': keep-alive'), 8_000);
  expect(textOf(running.text())).toBe('');
  running.leave('close');
  await running.ended;
});

test("OpenAI's SDKs read a blocked prompt and a blocked answer, streamed and not", async () => {
  const openai = new OpenAI({ baseURL: `${url['azure']}/v1`, apiKey: 'none', maxRetries: 0 });
  const ask = (content: string) => ({ model: MODEL, messages: [{ role: 'user' as const, content }] });
  await expect(openai.chat.completions.create(ask(CANARY))).rejects.toMatchObject({
    status: 400,
    code: 'content_filter',
  });
  const streamed = openai.chat.completions.stream(ask('say in-middle'));
  expect(await streamed.finalChatCompletion()).toMatchObject({ choices: [{ finish_reason: 'content_filter' }] });
  const response = await openai.responses.stream({ model: MODEL, input: 'say at-end' }).finalResponse();
  expect(response).toMatchObject({
    status: 'incomplete',
    incomplete_details: { reason: 'content_filter' },
    output: [],
  });
  const azure = new AzureOpenAI({
    endpoint: url['azure'] ?? '',
    apiKey: 'none',
    apiVersion: '2024-10-21',
    maxRetries: 0,
  });
  const whole = await azure.chat.completions.create({ ...ask('say at-end'), model: 'phi-3-vision' });
  expect(whole).toMatchObject({ choices: [{ finish_reason: 'content_filter', ...RESULTS }] });
  const chunks: object[] = [];
  const stream = await azure.chat.completions.create({ ...ask('say clean'), model: 'phi-3-vision', stream: true });
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks[0]).toMatchObject({ choices: [], prompt_filter_results: [{ prompt_index: 0 }] });
  expect(chunks[1]).toMatchObject({ choices: [{ content_filter_results: { violence: { filtered: false } } }] });
});

test.each([
  ['/v1/chat/completions', messages('say at-end'), { logprobs: true }],
  ['/v1/chat/completions', messages('say at-end'), { return_token_ids: true }],
  ['/v1/completions', prompt('say at-end'), { logprobs: 0 }],
  ['/v1/responses', { input: 'say at-end' }, { include: ['message.output_text.logprobs'] }],
  ['/openai/deployments/phi-3-vision/chat/completions', messages('say at-end'), { logprobs: true }],
])('where answers are filtered, none has tokens, which no filter reads: %s %s %j', async (path, body, tokens) => {
  const [param = ''] = Object.keys(tokens);
  for (const stream of [true, false]) {
    const outcome = await call(url['azure'] + path, { model: MODEL, ...body, ...tokens, stream }).ended;
    expect([outcome.status, json(outcome)]).toMatchObject([400, { error: { code: 'unsupported_parameter', param } }]);
  }
});

test('where answers are filtered, none is kept unfiltered; a key of a request still gives the same answer', async () => {
  const target = `${url['azure']}/v1/responses`;
  for (const param of ['store', 'background']) {
    const outcome = await call(target, { model: MODEL, input: 'say clean', [param]: true }).ended;
    expect([outcome.status, json(outcome)]).toMatchObject([400, { error: { code: 'unsupported_parameter', param } }]);
  }
  const key = { 'idempotency-key': 'filtered-once' };
  const body = { model: MODEL, ...messages('say at-end') };
  const first = await call(`${url['azure']}/v1/chat/completions`, body, key).ended;
  const again = await call(`${url['azure']}/v1/chat/completions`, body, key).ended;
  expect(json(first)).toMatchObject(chatAnswer('', 'content_filter'));
  expect(again.headers['idempotent-replayed']).toBe('true');
  expect(json(again)).toEqual(json(first));
});

test('failures are told: in /status, in metrics, and in few log lines; what was said is in none of them', async () => {
  const { internalUrl } = stack?.gateways[0] ?? { internalUrl: '' };
  const status: unknown = await (await fetch(`${internalUrl}/status`)).json();
  expect(status).toMatchObject({
    safety: { provider: 'azure', onFailure: 'closed', lastFailure: { reason: 'refused' } },
  });
  const metrics = await (await fetch(`${internalUrl}/metrics`)).text();
  for (const reason of ['unreachable', 'refused', 'malformed'])
    expect(metrics).toMatch(
      new RegExp(`penstock_safety_unchecked_total\\{direction="prompt",reason="${reason}"\\} [1-9]`),
    );
  for (const labels of ['direction="prompt",outcome="blocked"', 'direction="answer",outcome="blocked"'])
    expect(metrics).toMatch(new RegExp(`penstock_safety_check_seconds_count\\{${labels}\\} [1-9]`));
  const lines = outputs()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => z.looseObject({ event: z.string().optional() }).parse(JSON.parse(line)));
  expect(lines.filter(({ event }) => event === 'content not checked').length).toBeLessThan(30);
  expect(lines.some((line) => line['filtered'] === 'prompt' && typeof line['promptCheckMs'] === 'number')).toBe(true);
  expect(lines.some((line) => line['filtered'] === 'answer' && typeof line['answerCheckMs'] === 'number')).toBe(true);
  for (const text of [outputs(), metrics, JSON.stringify(status)])
    for (const secret of [
      CANARY,
      SAFETY_KEY,
      SAFETY_SECRET,
      'the words of the service',
      'harbour',
      PICTURE.slice(0, 40),
    ])
      expect(text.includes(secret)).toBe(false);
});

/** What the engine writes after a pause. */
let go: (rest: string) => void = () => {};
let goOn: Promise<string> = Promise.resolve('');

const Asked = z.looseObject({
  stream: z.boolean().optional(),
  input: z.unknown().optional(),
  messages: z.unknown().optional(),
  prompt: z.unknown().optional(),
});
const HEAD = { id: 'x-scripted', created: 1_795_422_691, model: MODEL };
const USAGE = { prompt_tokens: 5, completion_tokens: 9, total_tokens: 14 };
const event = (members: object, name = ''): string =>
  `${name === '' ? '' : `event: ${name}\n`}data: ${JSON.stringify(members)}\n\n`;

async function answer(res: ServerResponse, body: unknown): Promise<void> {
  const asked = Asked.parse(body);
  const words = JSON.stringify([asked.input, asked.messages, asked.prompt]);
  const text = ANSWERS[/say ([a-z-]+)/.exec(words)?.[1] ?? ''] ?? 'nothing';
  const pieces = text.match(/.{1,5}/gs) ?? [];
  res.setHeader('content-type', asked.stream === true ? 'text/event-stream' : 'application/json');
  if (asked.input !== undefined) return asResponse(res, text, pieces, asked.stream === true);
  const isChat = asked.messages !== undefined;
  const choice = (member: string, said: string, reason: string | null): object[] => [
    {
      index: 0,
      ...(isChat ? { [member]: { role: 'assistant', content: said } } : { text: said }),
      finish_reason: reason,
    },
  ];
  if (asked.stream !== true)
    return void res.end(JSON.stringify({ ...HEAD, choices: choice('message', text, 'stop'), usage: USAGE }));
  const write = (text: string): void => {
    for (const piece of text.match(/.{1,5}/gs) ?? [])
      res.write(event({ ...HEAD, choices: choice('delta', piece, null) }));
  };
  write(text);
  if (words.includes('say paused')) {
    const rest = await goOn;
    write(rest);
    // It would go on for long.
    if (rest.startsWith(CANARY)) return;
  }
  res.write(event({ ...HEAD, choices: choice('delta', '', 'stop') }));
  res.end(`${event({ ...HEAD, choices: [], usage: USAGE })}data: [DONE]\n\n`);
}

function asResponse(res: ServerResponse, text: string, pieces: readonly string[], isStream: boolean): void {
  const output = [
    {
      id: 'i',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
  ];
  const usage = { input_tokens: 5, output_tokens: 9, total_tokens: 14 };
  const whole = { id: 'resp_1', object: 'response', created_at: 1, model: MODEL, status: 'completed', output, usage };
  if (!isStream) return void res.end(JSON.stringify(whole));
  let at = 0;
  const said = (type: string, members: object): void => {
    res.write(event({ type: `response.${type}`, sequence_number: at, ...members }, `response.${type}`));
    at += 1;
  };
  said('created', { response: { ...whole, status: 'in_progress', output: [], usage: null } });
  said('output_item.added', { output_index: 0, item: { ...output[0], status: 'in_progress', content: [] } });
  const part = { type: 'output_text', text: '', annotations: [] };
  said('content_part.added', { item_id: 'i', output_index: 0, content_index: 0, part });
  for (const delta of pieces) said('output_text.delta', { item_id: 'i', output_index: 0, content_index: 0, delta });
  said('output_text.done', { item_id: 'i', output_index: 0, content_index: 0, text });
  said('completed', { response: whole });
  res.end();
}

/** The text of a stream of any route. */
function textOf(body: string): string {
  const Piece = z.union([
    z
      .object({ choices: z.array(z.object({ delta: z.object({ content: z.string() }) })).min(1) })
      .transform((one) => one.choices[0]?.delta.content),
    z.object({ choices: z.array(z.object({ text: z.string() })).min(1) }).transform((one) => one.choices[0]?.text),
    z.object({ type: z.literal('response.output_text.delta'), delta: z.string() }).transform((one) => one.delta),
    z
      .object({ type: z.literal('content_block_delta'), delta: z.object({ text: z.string() }) })
      .transform((one) => one.delta.text),
  ]);
  return [...body.matchAll(/^data: (\{.*)$/gm)]
    .map(([, data = '']) => Piece.safeParse(JSON.parse(data)).data ?? '')
    .join('');
}
