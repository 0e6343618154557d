import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { either, lasts } from '../support/full-length.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  startScriptedStack,
  usageEvent,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

/** The default keep-alive of 15 s, or a fiftieth of it. */
const scaled = (ms: number): number => either(ms, ms / 50);
const KEEP_ALIVE_MS = scaled(15_000);
const MESSAGES = { messages: [{ role: 'user', content: 'x' }], stream: true };
const ROUTES = [
  ['/chat/completions', MESSAGES],
  ['/models/chat/completions', MESSAGES],
  ['/models/completions', { prompt: 'x', stream: true }],
] as const;

let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack({
    gatewayEnv: { GATEWAY_KEEP_ALIVE_MS: String(KEEP_ALIVE_MS), GATEWAY_IDLE_TIMEOUT_MS: '120000' },
  });
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

const Event = z.object({
  id: z.string(),
  created: z.number(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.number(),
      delta: z.object({ content: z.string() }).optional(),
      text: z.string().optional(),
      finish_reason: z.string().nullable(),
    }),
  ),
});
const ErrorEvent = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** Reads like the parser of Azure's Python SDK: only LF, and every non-empty line begins with `data: `. */
function read({ body }: Outcome) {
  expect(body).not.toContain('\r');
  const lines = body.split('\n').filter((line) => line !== '');
  for (const line of lines) expect(line.startsWith('data: ')).toBe(true);
  const texts = lines.map((line) => line.slice('data: '.length));
  const isDone = texts.at(-1) === '[DONE]';
  const json = texts.slice(0, isDone ? -1 : undefined).map((text): unknown => JSON.parse(text));
  const errors = json.flatMap((event) => ErrorEvent.safeParse(event).data?.error.code ?? []);
  const events = json.filter((event) => !ErrorEvent.safeParse(event).success).map((event) => Event.parse(event));
  const pieces = events.map(({ choices }) => choices[0]?.delta?.content ?? choices[0]?.text ?? '');
  const identities = new Set(events.map(({ id, created, model }) => `${id} ${created} ${model}`));
  return { text: pieces.join(''), empty: pieces.filter((piece) => piece === '').length, identities, errors, isDone };
}
const post = (path: string, body: object, headers?: Record<string, string>): Promise<Outcome> =>
  call(scripted.stack.url + path, body, headers).ended;

test.each(ROUTES)(
  'a stream that is silent before its first event, or between two, is kept open by events without text: %s',
  async (path, body) => {
    const half = chunk('one ').length / 2;
    const scripts: readonly (readonly [number, readonly string[]])[] = [
      [scaled(20_000), [chunk('one '), chunk('two', 'stop')]],
      [scaled(20_000), [chunk('one ').slice(0, half), chunk('one ').slice(half) + chunk('two', 'stop')]],
    ];
    for (const [silenceMs, parts] of scripts) {
      scripted.script = async (res) => {
        res.writeHead(200, EVENT_STREAM).flushHeaders();
        for (const part of parts) {
          await lasts(silenceMs);
          res.write(part);
        }
        res.end(DONE);
      };
      const outcome = await post(path, body);
      expect(outcome).toMatchObject({ status: 200, isWhole: true });
      expect(outcome.headers['content-type']).toContain('text/event-stream');
      const answer = read(outcome);
      expect(answer).toMatchObject({ text: 'one two', isDone: true, errors: [] });
      expect(answer.empty).toBeGreaterThanOrEqual(2);
      expect(answer.identities.size).toBe(1);
    }
  },
  scaled(100_000) + 30_000,
);

test.each(ROUTES)(
  'a stream without a pause has the engine’s bytes; one that pauses later keeps its id: %s',
  async (path, body) => {
    scripted.script = (res) => void res.writeHead(200, EVENT_STREAM).end(chunk('a') + chunk('b', 'stop') + DONE);
    expect((await post(path, body)).body).toBe(chunk('a') + chunk('b', 'stop') + DONE);
    scripted.script = async (res) => {
      res.writeHead(200, EVENT_STREAM).write(chunk('a'));
      await lasts(scaled(20_000));
      res.end(chunk('b', 'stop') + DONE);
    };
    const outcome = await post(path, body);
    expect(outcome.body.startsWith(chunk('a'))).toBe(true);
    expect(outcome.body.endsWith(chunk('b', 'stop') + DONE)).toBe(true);
    expect(read(outcome)).toMatchObject({ text: 'ab', empty: 1, isDone: true });
    expect(read(outcome).identities.size).toBe(1);
  },
  scaled(20_000) + 30_000,
);

test.each(ROUTES)(
  'a broken stream ends with an error event, then its connection is cut, without [DONE]: %s',
  async (path, body) => {
    const error = { message: 'out of luck', type: 'x', param: null, code: 500 };
    scripted.script = async (res) => {
      res.writeHead(200, EVENT_STREAM).write(chunk('a'));
      await lasts(50);
      res.end(`data: ${JSON.stringify({ error })}\n\n${DONE}`);
    };
    const id = `broken-${path}`;
    const outcome = await post(path, body, { 'x-request-id': id });
    expect(outcome).toMatchObject({ status: 200, isWhole: false });
    // A conversation continued on another engine, with one more word.
    expect(read(outcome)).toMatchObject({
      text: path.endsWith('chat/completions') ? 'aa' : 'a',
      isDone: false,
      errors: ['engine_failed'],
    });
    const line = await eventually('the log line', () =>
      scripted.stack.gateways[0]
        ?.output()
        .split('\n')
        .find((one) => one.includes(`"callerRequestId":"${id}"`)),
    );
    expect(JSON.parse(line)).toMatchObject({ outcome: 'engine_failed', status: 200 });
  },
);

test('a failure before the first event keeps its status; a later one is an error event in the stream', async () => {
  const fails = (afterMs: number): void => {
    scripted.script = async (res) => {
      await lasts(afterMs);
      const error = { message: 'stop cannot contain an empty string.', type: 'x', param: null, code: 400 };
      res.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
    };
  };
  // With the default interval, because a busy machine takes a while for an answer.
  const { url } = await scripted.stack.startGateway({ GATEWAY_KEEP_ALIVE_MS: '15000' });
  fails(scaled(10_000));
  const early = await call(`${url}/chat/completions`, MESSAGES).ended;
  expect([early.status, early.headers['x-ms-error-code']]).toEqual([400, 'engine_refused']);
  fails(scaled(20_000));
  const late = await post('/chat/completions', MESSAGES);
  expect(late).toMatchObject({ status: 200, isWhole: false });
  expect(read(late)).toMatchObject({ text: '', isDone: false, errors: ['engine_refused'] });
});

test('usage is sent only to a caller that requests it as a passed-through extra parameter', async () => {
  scripted.script = (res, { asksUsage }) => {
    res.writeHead(200, EVENT_STREAM);
    res.end(chunk('a', 'stop') + (asksUsage ? usageEvent(11, 2) : '') + DONE);
  };
  const pass = { 'extra-parameters': 'pass-through' };
  const asks = (include_usage: boolean): object => ({ ...MESSAGES, stream_options: { include_usage } });
  expect((await post('/chat/completions', asks(true), pass)).body).toContain('"usage":{"prompt_tokens":11');
  for (const [body, headers] of [
    [MESSAGES, {}],
    [{ ...MESSAGES, stream_options: null }, {}],
    [asks(true), { 'extra-parameters': 'drop' }],
    [asks(false), pass],
  ] as const)
    expect((await post('/chat/completions', body, headers)).body).toBe(chunk('a', 'stop') + DONE);
  expect((await post('/chat/completions', asks(true))).status).toBe(400);
});

test('an engine is lost after an event without text, before any other: the stream continues as one', async () => {
  let lives = 0;
  scripted.script = async (res) => {
    lives += 1;
    res.writeHead(200, EVENT_STREAM).flushHeaders();
    await lasts(scaled(20_000));
    if (lives === 1) res.end();
    else res.end(chunk('again', 'stop') + DONE);
  };
  const outcome = await post('/chat/completions', MESSAGES);
  expect(outcome).toMatchObject({ status: 200, isWhole: true });
  expect(read(outcome)).toMatchObject({ text: 'again', isDone: true, errors: [] });
  expect(read(outcome).identities.size).toBe(1);
  expect(lives).toBe(2);
});
