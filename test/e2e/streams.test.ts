import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { either, lasts } from '../support/full-length.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  LAST,
  startScriptedStack,
  usageEvent,
  wholeAnswer,
  type Script,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

/** The default keep-alive of 15 s, or a fiftieth of it. */
const scaled = (ms: number): number => either(ms, ms / 50);
const KEEP_ALIVE_MS = scaled(15_000);
/** Tolerance for a busy machine. */
const LATE_MS = 600;
const STREAMS_EACH = either(200, 40);

const ROUTES = [
  ['/v1/chat/completions', (text: string) => ({ messages: [{ role: 'user', content: text }] })],
  ['/v1/completions', (text: string) => ({ prompt: text })],
  ['/openai/deployments/azureai/chat/completions', (text: string) => ({ messages: [{ role: 'user', content: text }] })],
] as const;
const score = (text: string): object => ({ input_data: { input_string: [{ role: 'user', content: text }] } });

let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack({
    // The longest silence here is one and a half times its default.
    gatewayEnv: { GATEWAY_KEEP_ALIVE_MS: String(KEEP_ALIVE_MS), GATEWAY_IDLE_TIMEOUT_MS: '120000' },
  });
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

interface Read {
  readonly text: string;
  readonly comments: number;
  readonly usages: number;
  readonly error: string | undefined;
  readonly isDone: boolean;
}
const Event = z.object({
  choices: z.array(z.object({ delta: z.object({ content: z.string() }) })).optional(),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
  error: z.object({ code: z.string() }).optional(),
});
/** Reads a stream like the strictest client: events with comments between them, and nothing else. */
function read({ body }: Outcome): Read {
  const blocks = body.split('\n\n');
  expect(blocks.pop()).toBe('');
  const isDone = blocks.at(-1) === 'data: [DONE]';
  if (isDone) blocks.pop();
  const isComment = (block: string): boolean => block.startsWith(': ');
  const comments = blocks.filter(isComment).length;
  const events = blocks
    .filter((block) => !isComment(block))
    .map((block) => {
      expect(block.startsWith('data: {')).toBe(true);
      return Event.parse(JSON.parse(block.slice('data: '.length)));
    });
  return {
    text: events.map(({ choices }) => choices?.[0]?.delta.content ?? '').join(''),
    comments,
    usages: events.filter(({ usage }) => usage !== undefined).length,
    error: events.find(({ error }) => error !== undefined)?.error?.code,
    isDone,
  };
}
const post = (path: string, body: object, headers?: Record<string, string>, base = scripted.stack.url) =>
  call(base + path, body, headers).ended;

/** A balancer that cuts a connection without bytes to the client for this long. */
async function startBalancer(idleMs: number): Promise<AsyncDisposable & { readonly url: string }> {
  const { port } = new URL(scripted.stack.url);
  const server = createServer((client) => {
    const upstream = connect(Number(port), '127.0.0.1');
    const idle = setTimeout(() => client.destroy(), idleMs);
    upstream.on('data', () => idle.refresh());
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.pipe(to);
      from.on('error', () => {});
      from.on('close', () => {
        clearTimeout(idle);
        to.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

test.each(ROUTES)(
  'a first token after a minute and a half passes a balancer that cuts after a minute of silence: %s',
  async (path, request) => {
    const silenceMs = scaled(90_000);
    await using balancer = await startBalancer(scaled(60_000));
    const only = chunk('one event', 'stop');
    scripted.script = async (res, { text }) => {
      // vLLM sends its headers before the first token.
      res.writeHead(200, EVENT_STREAM).flushHeaders();
      if (text === 'silent inside an event') res.write(only.slice(0, only.length / 2));
      await lasts(silenceMs);
      res.write(text === 'silent inside an event' ? only.slice(only.length / 2) : only);
      res.end(DONE);
    };
    const asked = ['silent before the first event', 'silent inside an event'].map((text) =>
      post(path, { ...request(text), stream: true }, {}, balancer.url),
    );
    for (const outcome of await Promise.all(asked)) {
      expect(outcome).toMatchObject({ status: 200, isWhole: true });
      expect(outcome.headers['content-type']).toContain('text/event-stream');
      expect(read(outcome)).toMatchObject({ text: 'one event', isDone: true, error: undefined });
      expect(read(outcome).comments).toBeGreaterThanOrEqual(4);
      const gaps = outcome.pieces.map(({ atMs }, i) => atMs - (outcome.pieces[i - 1]?.atMs ?? 0));
      expect(Math.max(...gaps)).toBeLessThan(KEEP_ALIVE_MS + LATE_MS);
    }
  },
  scaled(90_000) + 30_000,
);

test.each([14_900, 15_000, 15_100])(
  'first tokens when the keep-alive is due, at %d of 15000 ms: all streams complete, comments only between events',
  async (firstMs) => {
    scripted.script = async (res, { text }) => {
      res.writeHead(200, EVENT_STREAM).flushHeaders();
      await lasts(scaled(firstMs));
      for (let n = 0; n < 5; n += 1) res.write(chunk(`${text}-${n} `));
      res.end(LAST + DONE);
    };
    const asked = Array.from({ length: STREAMS_EACH }, (_, n) =>
      post('/v1/chat/completions', {
        messages: [{ role: 'user', content: String(n) }],
        stream: true,
      }),
    );
    for (const [n, outcome] of (await Promise.all(asked)).entries()) {
      const text = [0, 1, 2, 3, 4].map((i) => `${n}-${i} `).join('');
      expect(outcome).toMatchObject({ status: 200, isWhole: true });
      expect(read(outcome)).toMatchObject({ text, isDone: true, error: undefined });
    }
  },
  scaled(15_000) + 30_000,
);

const fails =
  (afterMs: number): Script =>
  async (res, { text }) => {
    await lasts(afterMs);
    const status = text === 'refused' ? 400 : 500;
    // In vLLM's words; a refusal in other words would be retried on another engine.
    const message = text === 'refused' ? 'stop cannot contain an empty string.' : 'failed by the engine';
    const error = { message, type: 'x', param: null, code: status };
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
  };
test.each(ROUTES)(
  'a failure before the first keep-alive keeps its own status, one after it is an error event without [DONE]: %s',
  async (path, request) => {
    const ask = (text: string): Promise<Outcome> => post(path, { ...request(text), stream: true });
    scripted.script = fails(scaled(5_000));
    // An engine failure is retried first, which takes longer than this short keep-alive.
    const early = await ask('refused');
    expect(early.status).toBe(400);
    expect(early.headers['content-type']).toContain('application/json');
    scripted.script = fails(scaled(40_000));
    for (const late of await Promise.all([ask('refused'), ask('failed')])) {
      expect(late).toMatchObject({ status: 200, isWhole: true });
      expect(read(late)).toMatchObject({ isDone: false, text: '' });
      expect(read(late).error).toMatch(/^engine_/);
    }
  },
  scaled(50_000) + 30_000,
);

test(
  'an answer that is not streamed has no keep-alive bytes, however long it takes',
  async () => {
    scripted.script = async (res) => {
      await lasts(scaled(40_000));
      res.writeHead(200, { 'content-type': 'application/json' }).end(wholeAnswer('late'));
    };
    const [chat, scored] = await Promise.all([
      post('/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }] }),
      post('/score', score('x')),
    ]);
    expect([chat.status, scored.status]).toEqual([200, 200]);
    expect(chat.body).toBe(wholeAnswer('late'));
    expect(JSON.parse(scored.body)).toEqual({ output: 'late' });
  },
  scaled(40_000) + 30_000,
);

/** The token counts in the log line of the request with this id. */
async function logged(id: string): Promise<{ promptTokens?: number; completionTokens?: number }> {
  const line = await eventually(`the log line of ${id}`, () =>
    scripted.stack.gateways[0]
      ?.output()
      .split('\n')
      .find((one) => one.includes(`"callerRequestId":"${id}"`)),
  );
  return z.object({ promptTokens: z.number(), completionTokens: z.number() }).parse(JSON.parse(line));
}

test.each(
  ROUTES.flatMap(([path, request]) =>
    [{ include_usage: false }, undefined, {}, null, { include_usage: true }].map(
      (options, n) => [JSON.stringify(options), path, request, options, `usage-${path}-${n}`] as const,
    ),
  ),
)(
  'usage is sent only on request, and is always logged: stream_options %s at %s',
  async (_text, path, request, options, id) => {
    scripted.script = (res, { asksUsage }) => {
      res.writeHead(200, EVENT_STREAM);
      res.write(chunk('a') + chunk('b', 'stop'));
      if (asksUsage) res.write(usageEvent(11, 2));
      res.end(DONE);
    };
    const extra = options === undefined ? {} : { stream_options: options };
    const outcome = await post(path, { ...request('x'), stream: true, ...extra }, { 'x-request-id': id });
    const isAsked = options !== null && options !== undefined && 'include_usage' in options && options.include_usage;
    const tail = (isAsked ? usageEvent(11, 2) : '') + DONE;
    expect(outcome.body.endsWith(chunk('b', 'stop') + tail)).toBe(true);
    expect(read(outcome)).toMatchObject({ text: 'ab', usages: isAsked ? 1 : 0, isDone: true });
    if (!isAsked) expect(outcome.body).not.toMatch(/"usage"|"choices":\[\]/);
    expect(await logged(id)).toMatchObject({ promptTokens: 11, completionTokens: 2 });
  },
);

test.each(ROUTES)('stream_options without stream is refused by name: %s', async (path, request) => {
  const before = scripted.engine.requests.length;
  const outcome = await post(path, { ...request('x'), stream_options: { include_usage: true } });
  expect(outcome.status).toBe(400);
  expect(JSON.parse(outcome.body)).toMatchObject({ error: { param: 'stream_options' } });
  expect(scripted.engine.requests.length).toBe(before);
});

test('an answer of /score has no usage, but the log has it', async () => {
  scripted.script = (res) => void res.end(wholeAnswer('hi', 11, 2));
  const outcome = await post('/score', score('x'), { 'x-request-id': 'usage-score' });
  expect(JSON.parse(outcome.body)).toEqual({ output: 'hi' });
  expect(await logged('usage-score')).toMatchObject({ promptTokens: 11, completionTokens: 2 });
});

const USAGE = usageEvent(1_234, 567);
const cuts = (...at: number[]): string[] =>
  [0, ...at].map((from, i) => (i < at.length ? USAGE.slice(from, at[i]) : USAGE.slice(from) + ''));
const SPLITS: readonly (readonly [how: string, pieces: readonly string[]])[] = [
  ['split inside "choices"', [...cuts(3, USAGE.indexOf('"choices"') + 4), DONE]],
  ['split inside a number', [...cuts(USAGE.indexOf('1234') + 2, USAGE.indexOf('567') + 1), DONE]],
  ['split between its two line feeds', [...cuts(40, USAGE.length - 1), DONE]],
  ['glued to [DONE]', [USAGE + DONE]],
];
test.each(SPLITS.flatMap(([how, pieces]) => [true, false].map((asked) => [how, asked, pieces] as const)))(
  'the closing usage event, %s, requested %s: passed once or removed completely, and counted',
  async (_how, asked, pieces) => {
    const { stack } = scripted;
    const TEXT = 'as in "choices":[] or {"choices":[],"usage":{}}';
    scripted.script = async (res) => {
      res.writeHead(200, EVENT_STREAM);
      res.write(chunk(TEXT, 'stop'));
      for (const piece of pieces) {
        await lasts(50);
        res.write(piece);
      }
      res.end();
    };
    const before = await stack.metric('gen_ai_client_token_usage_sum');
    const body = { messages: [{ role: 'user', content: 'x' }], stream: true, stream_options: { include_usage: asked } };
    const outcome = await post('/v1/chat/completions', body);
    // A machine that stops every process for a while gets keep-alives in between.
    const events = outcome.body.replaceAll(': keep-alive\n\n', '');
    expect(events).toBe(chunk(TEXT, 'stop') + (asked ? USAGE : '') + DONE);
    expect((await stack.metric('gen_ai_client_token_usage_sum')) - before).toBe(1_234 + 567);
  },
);
