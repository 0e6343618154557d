import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { startSdk, type SdkProcess } from '../sdks/sdk-process.ts';
import { sdks } from '../sdks/sdks.ts';
import {
  CHAT,
  FULL,
  PIECES,
  play,
  STREAM_ENDINGS,
  TEXT,
  TWO_CHOICES,
  WHOLE_ENDINGS,
  wholeStream,
  type Ending,
} from '../support/answer-endings.ts';
import { call, type Outcome } from '../support/call.ts';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { RESPONSE_STREAMS, RESPONSES, WHOLE_ANSWER, WHOLE_RESPONSE } from '../support/response-endings.ts';
import { scriptedEngine, startScriptedDispatcher } from '../support/scripted-stack.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Set by `npm run sdks`. */
const { PENSTOCK_SDKS_PYTHON: python } = process.env;
const MODEL = 'Phi-3-vision-128k-instruct';
/** How often the engine does so: in each attempt, or only in the first. */
const TIMES = ['always', 'once'] as const;
type Times = (typeof TIMES)[number];
/** The result for a client: the complete text, or an error. */
type Verdict = 'whole' | 'error' | `TRUNCATED: ${string}`;
const AT_ONCE = 32;

let stack: Stack;
let engine: FakeEngine;
let dispatcher: AsyncDisposable;
beforeAll(async () => {
  stack = await startStack({ launchers: 0, gatewayEnv: { GATEWAY_TOKENIZE: 'true', GATEWAY_MAX_CHOICES: '2' } });
  engine = await startFakeEngine(answer);
  dispatcher = await startScriptedDispatcher(stack, [scriptedEngine(MODEL, engine)]);
}, 60_000);
afterAll(async () => {
  await dispatcher[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

const Message = z.object({ role: z.string(), content: z.string() });
const Asked = z.object({
  messages: z.array(Message).optional(),
  input: z.array(Message).optional(),
  prompt: z.string().optional(),
  stream: z.boolean().default(false),
  n: z.number().default(1),
});
/** The caller's text selects the end of its answer. */
const wish = (ending: string, times: Times): string => `${times}: ${ending}`;

function answer(res: ServerResponse, body: unknown): void {
  res.on('error', () => {});
  const { messages, input, prompt, stream, n } = Asked.parse(body);
  const { url, headers } = res.req;
  const last = messages?.at(-1);
  const begun = last?.role === 'assistant' ? last.content : '';
  const asked = (messages ?? input)?.[0]?.content ?? prompt ?? '';
  const [times, ending = ''] = asked.split(/: (.*)/);
  if (url === '/tokenize' && TOKENIZE[ending] === undefined)
    return void res.end(JSON.stringify({ count: words(messages) }));
  const isFirstLife = String(headers['x-request-id']).split('-').at(-2) === '1';
  play(res, isFirstLife || times === 'always' ? endingOf() : healthy());

  function endingOf(): Ending {
    if (url === '/tokenize') return { bytes: [TOKENIZE[ending] ?? ''], type: 'application/json' };
    if (url === '/v1/responses') return (stream ? RESPONSE_STREAMS : RESPONSES)[ending]?.of ?? { bytes: [] };
    const table = n === 2 ? TWO_CHOICES[stream ? 'stream' : 'whole'] : stream ? STREAM_ENDINGS : WHOLE_ENDINGS;
    return table[ending]?.of(voice(), rest()) ?? { bytes: [] };
  }
  function healthy(): Ending {
    if (url === '/v1/responses') return stream ? WHOLE_RESPONSE : WHOLE_ANSWER;
    if (stream && n === 1) return wholeStream(voice(), rest());
    const both = TWO_CHOICES[stream ? 'stream' : 'whole']['both finished'];
    return (n === 2 ? both : WHOLE_ENDINGS['as it should'])?.of(voice(), rest()) ?? { bytes: [] };
  }
  function voice(): typeof CHAT {
    return prompt === undefined ? CHAT : TEXT;
  }
  /** The pieces that the client lacks. */
  function rest(): readonly string[] {
    return PIECES.filter((_, n) => PIECES.slice(0, n + 1).join('').length > begun.length);
  }
}
const words = (messages: readonly z.infer<typeof Message>[] = []): number =>
  messages.flatMap(({ content }) => content.split(' ')).length;

const Event = z.looseObject({
  choices: z
    .array(
      z.object({
        index: z.number(),
        delta: z.object({ content: z.string().nullish() }).optional(),
        message: z.object({ content: z.string() }).optional(),
        text: z.string().optional(),
        finish_reason: z.string().nullable(),
      }),
    )
    .optional(),
  type: z.string().optional(),
  /** of a response, of a message */
  delta: z.union([z.string(), z.object({ text: z.string().optional() })]).optional(),
  content: z.array(z.object({ text: z.string() })).optional(),
  error: z.object({ message: z.string() }).optional(),
  output: z.union([z.string(), z.array(z.object({ content: z.tuple([z.object({ text: z.string() })]) }))]).optional(),
  count: z.number().optional(),
});
const TOLD = z.enum(['worker_lost', 'engine_failed', 'request_quarantined']);
const Refusal = z.object({ error: z.object({ code: TOLD, message: z.string() }) });

/** Reads like a client that trusts the server. */
function judge(outcome: Outcome, choices = 1): Verdict {
  // Far below the silence limit of an engine.
  if (outcome.tookMs > 20_000) return `TRUNCATED: after ${outcome.tookMs} ms`;
  if (outcome.status !== 200) {
    const isTold = Refusal.safeParse(JSON.parse(outcome.body)).success;
    return isTold ? 'error' : `TRUNCATED: ${outcome.status} ${outcome.body}`;
  }
  return outcome.headers['content-type']?.includes('event-stream') === true
    ? judgeStream(outcome.body, choices)
    : judgeWhole(outcome.body, choices);
}
const textOf = (piece: string | { readonly text?: string | undefined }): string =>
  typeof piece === 'string' ? piece : (piece.text ?? '');

function judgeWhole(body: string, choices: number): Verdict {
  const { choices: all, output, content } = Event.parse(JSON.parse(body));
  if (content !== undefined) return sameTexts([textOf(content[0] ?? {})], choices) ? 'whole' : `TRUNCATED: ${body}`;
  const texts = all?.map(({ message, text }) => message?.content ?? text ?? '') ?? [
    typeof output === 'string' ? output : (output?.[0]?.content[0].text ?? ''),
  ];
  const areFinished = all?.every(({ finish_reason: reason }) => reason === 'stop' || reason === 'length') !== false;
  return areFinished && sameTexts(texts, choices) ? 'whole' : `TRUNCATED: ${body}`;
}
function judgeStream(body: string, choices: number): Verdict {
  const blocks = body.split('\n\n');
  if (blocks.pop() !== '') return `TRUNCATED: half an event: ${body.slice(-200)}`;
  const datas = blocks.map((block) => /^(?:event: [\w.]+\n)?data: (.*)$/.exec(block)?.[1]);
  if (datas.includes(undefined)) return `TRUNCATED: not vLLM's form: ${body.slice(0, 500)}`;
  const isDone = datas.at(-1) === '[DONE]';
  const events = datas.slice(0, isDone ? -1 : undefined).map((data) => Event.parse(JSON.parse(data ?? '')));
  const isCompleted = ['response.completed', 'response.incomplete', 'message_stop'].includes(events.at(-1)?.type ?? '');
  if (events.some(({ error }) => error !== undefined)) return isDone || isCompleted ? `TRUNCATED: ${body}` : 'error';
  const texts = new Map<number, string>();
  for (const { choices: some = [], delta } of events)
    for (const one of delta === undefined ? some : [{ index: 0, text: textOf(delta) }]) {
      const text = 'delta' in one ? one.delta?.content : one.text;
      texts.set(one.index, (texts.get(one.index) ?? '') + (text ?? ''));
    }
  return (isDone || isCompleted) && sameTexts([...texts.values()], choices) ? 'whole' : `TRUNCATED: ${body}`;
}
function sameTexts(texts: readonly string[], choices: number): boolean {
  return texts.length === choices && texts.every((text) => text === FULL);
}

/** The expected result: a lost attempt is repeated or continued if possible, else an error. */
type Expected = readonly Verdict[];
const either: Expected = ['whole', 'error'];
function expected(is: 'whole' | 'lost' | 'failed', times: Times, mendable: boolean): Expected {
  if (is === 'lost') return times === 'always' ? ['error'] : mendable ? ['whole'] : either;
  return [is === 'whole' ? 'whole' : 'error'];
}

interface Case {
  readonly name: string;
  readonly expected: Expected;
  readonly run: () => Promise<Verdict>;
}
/** Runs them concurrently. @returns those with another result */
async function misjudged(cases: readonly Case[]): Promise<string[]> {
  const wrong: string[] = [];
  const queue = [...cases];
  const work = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
      // What this client cannot read, no other can.
      const verdict = await one.run().catch((cause: unknown): Verdict => `TRUNCATED: ${String(cause)}`);
      if (!one.expected.includes(verdict)) wrong.push(`${one.name}: ${verdict.slice(0, 600)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return wrong;
}

const messages = (text: string): object => ({ messages: [{ role: 'user', content: text }] });
const STREAMED: readonly (readonly [path: string, body: (text: string) => object])[] = [
  ['/v1/chat/completions', messages],
  ['/openai/deployments/azureai/chat/completions', messages],
  ['/chat/completions', messages],
  ['/v1/completions', (prompt) => ({ prompt })],
  ['/completions', (prompt) => ({ prompt })],
  ['/v1/messages', (text) => ({ ...messages(text), max_tokens: 64 })],
];
const NOT_STREAMED: typeof STREAMED = [
  ...STREAMED,
  ['/score', (content) => ({ input_data: { input_string: [{ role: 'user', content }] } })],
];
const post = (path: string, body: object): Promise<Outcome> => call(stack.url + path, body).ended;
const everyTime = <T>(table: Readonly<Record<string, T>>): [string, T, Times][] =>
  Object.entries(table).flatMap(([ending, row]) => TIMES.map((times): [string, T, Times] => [ending, row, times]));

test.each(STREAMED)(
  'A1, A3, A4: %s: however a stream ends, its client gets the complete answer or an error',
  async (path, body) => {
    expect(Object.keys(STREAM_ENDINGS).length).toBeGreaterThan(20);
    const cases = everyTime(STREAM_ENDINGS).map(([ending, { is }, times]) => ({
      name: wish(ending, times),
      // A bare prompt is not continued once there is text.
      expected: expected(is, times, /chat|messages/.test(path)),
      run: async () => {
        const outcome = await post(path, { ...body(wish(ending, times)), stream: true });
        if (!path.startsWith('/v1') && !path.startsWith('/openai'))
          for (const line of outcome.body.split('\n')) if (outcome.status === 200) expect(line).toMatch(/^(data: |$)/);
        return judge(outcome);
      },
    }));
    expect(await misjudged(cases)).toEqual([]);
  },
  120_000,
);

test('A1: a client that requested usage gets the complete answer with usage, or an error', async () => {
  const cases = everyTime(STREAM_ENDINGS).map(([ending, , times]) => ({
    name: wish(ending, times),
    expected: either,
    run: async () => {
      const stream = { stream: true, stream_options: { include_usage: true } };
      return judge(await post('/v1/chat/completions', { ...messages(wish(ending, times)), ...stream }));
    },
  }));
  expect(await misjudged(cases)).toEqual([]);
}, 120_000);

test.each(NOT_STREAMED)(
  'A2: %s: however an answer ends, its client gets the complete answer or an error',
  async (path, body) => {
    const cases = everyTime(WHOLE_ENDINGS).map(([ending, { is }, times]) => ({
      name: wish(ending, times),
      expected: expected(is, times, true),
      run: async () => judge(await post(path, body(wish(ending, times)))),
    }));
    expect(await misjudged(cases)).toEqual([]);
  },
  120_000,
);

test('A1, A2: an answer with two choices is complete when both are', async () => {
  const cases = [true, false].flatMap((stream) =>
    STREAMED.filter(([path]) => /^\/(v1|openai)/.test(path) && path !== '/v1/messages').flatMap(([path, body]) =>
      everyTime(TWO_CHOICES[stream ? 'stream' : 'whole']).map(([ending, { is }, times]) => ({
        name: `${path} ${stream} ${wish(ending, times)}`,
        expected: expected(is, times, !stream),
        run: async () => judge(await post(path, { ...body(wish(ending, times)), stream, n: 2, temperature: 1 }), 2),
      })),
    ),
  );
  expect(await misjudged(cases)).toEqual([]);
}, 120_000);

test('A1, A2: /v1/responses: however it ends, its client gets the complete answer or an error', async () => {
  const cases = [true, false].flatMap((stream) =>
    everyTime(stream ? RESPONSE_STREAMS : RESPONSES).map(([ending, { is }, times]) => ({
      name: `${stream} ${wish(ending, times)}`,
      expected: expected(is, times, !stream),
      run: async () => judge(await post('/v1/responses', { input: wish(ending, times), stream })),
    })),
  );
  expect(await misjudged(cases)).toEqual([]);
}, 120_000);

const TOKENIZE: Readonly<Record<string, string>> = {
  'a count': '{"count":3,"max_model_len":9,"tokens":[1,2,3]}',
  'no count': '{"tokens":[1,2,3]}',
  'a count that is null': '{"count":null}',
  'no JSON': '{"count":',
  'nothing at all': '',
};
test('A2: /tokenize: a count, or an error', async () => {
  const seen = await Promise.all(
    Object.keys(TOKENIZE).map(async (ending) => [
      ending,
      (await post('/tokenize', { model: MODEL, prompt: wish(ending, 'always') })).status,
    ]),
  );
  expect(seen).toEqual(Object.keys(TOKENIZE).map((ending) => [ending, ending === 'a count' ? 200 : 502]));
});

describe.each(sdks(python).map((sdk) => [sdk.name, sdk] as const))('%s', (_name, { command, surfaces }) => {
  let sdk: SdkProcess;
  beforeAll(() => {
    const [program, ...args] = command;
    sdk = startSdk(program, args);
  });
  afterAll(async () => {
    await sdk[Symbol.asyncDispose]();
  });

  test('A1, A2: this SDK sees an end only for a complete answer, however the engine ends', async () => {
    const isOpenAi = surfaces['v1'] !== undefined;
    const ask = (what: string, ending: string, is: 'whole' | 'lost' | 'failed', times: Times, body: object): Case => ({
      name: `${what} ${wish(ending, times)}`,
      expected: is === 'lost' && times === 'once' ? either : expected(is, times, false),
      run: async () => {
        const surface = isOpenAi ? 'v1' : 'host';
        const named = isOpenAi ? { model: MODEL } : {};
        const request = { call: what, surface, url: stack.url, key: 'none', body: { ...named, ...body }, retries: 0 };
        const { text, error } = await sdk.call(request);
        if (error !== undefined) return 'error';
        return text === FULL ? 'whole' : `TRUNCATED: ${text}`;
      },
    });
    const chats = [
      ...everyTime(STREAM_ENDINGS).map(([ending, { is }, times]) =>
        ask('stream', ending, is, times, messages(wish(ending, times))),
      ),
      ...everyTime(WHOLE_ENDINGS).map(([ending, { is }, times]) =>
        ask('chat', ending, is, times, messages(wish(ending, times))),
      ),
    ];
    const others = !isOpenAi
      ? []
      : [
          ...everyTime(STREAM_ENDINGS).map(([ending, { is }, times]) =>
            ask('completionStream', ending, is, times, { prompt: wish(ending, times) }),
          ),
          ...everyTime(WHOLE_ENDINGS).map(([ending, { is }, times]) =>
            ask('completion', ending, is, times, { prompt: wish(ending, times) }),
          ),
          ...everyTime(RESPONSE_STREAMS).map(([ending, { is }, times]) =>
            ask('responseStream', ending, is, times, { input: wish(ending, times) }),
          ),
          ...everyTime(RESPONSES).map(([ending, { is }, times]) =>
            ask('response', ending, is, times, { input: wish(ending, times) }),
          ),
        ];
    expect(await misjudged([...chats, ...others])).toEqual([]);
  }, 240_000);
});
