import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import type { ClientStream } from '../../../gateway/answer/client-stream.ts';
import { EventReader } from '../../../gateway/answer/engine/sse.ts';
import { HeldStream } from '../../../gateway/answer/held-stream.ts';
import { Failure } from '../../../gateway/failure.ts';
import type { Verdict } from '../../../gateway/request/content-filter.ts';

const WORD = 'verboten';
const DONE = 'data: [DONE]\n\n';
const HEAD = { id: 'a-1', created: 7, model: 'm' };
const data = (members: object, name = ''): string =>
  `${name === '' ? '' : `event: ${name}\n`}data: ${JSON.stringify(members)}\n\n`;

/** How a route streams pieces of a text, and where a client finds them. */
interface Route {
  readonly path: EnginePath;
  readonly events: (pieces: readonly string[]) => string[];
  readonly read: (event: Record<string, unknown>) => string;
  readonly isEnd: (last: string) => boolean;
}
const Chunk = z.object({
  choices: z.array(
    z.object({ text: z.string().optional(), delta: z.object({ content: z.string().optional() }).optional() }),
  ),
});
const textOf = (event: object): string => {
  const [choice] = Chunk.safeParse(event).data?.choices ?? [];
  return choice?.text ?? choice?.delta?.content ?? '';
};
const choice = (members: object, reason: string | null = null): string =>
  data({ ...HEAD, choices: [{ index: 0, ...members, finish_reason: reason }] });
const usage = data({ ...HEAD, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } });
const isFiltered = (last: string): boolean => last.includes('"finish_reason":"content_filter"');
const ITEM = { item_id: 'i', output_index: 0, content_index: 0 };
const response = (status: string, text?: string): object => ({
  response: {
    id: 'r',
    status,
    output: text === undefined ? [] : [{ type: 'message', content: [{ type: 'output_text', text }] }],
  },
});
const ROUTES: readonly Route[] = [
  {
    path: '/v1/chat/completions',
    events: (pieces) => [
      choice({ delta: { role: 'assistant', content: '' } }),
      ...pieces.map((content) => choice({ delta: { content } })),
      choice({ delta: {} }, 'stop'),
      usage,
      DONE,
    ],
    read: textOf,
    isEnd: isFiltered,
  },
  {
    path: '/v1/completions',
    events: (pieces) => [...pieces.map((text) => choice({ text })), choice({ text: '' }, 'length'), usage, DONE],
    read: textOf,
    isEnd: isFiltered,
  },
  {
    path: '/v1/responses',
    events: (pieces) => {
      const text = pieces.join('');
      const all: [string, object][] = [
        ['created', response('in_progress')],
        ...pieces.map((delta): [string, object] => ['output_text.delta', { ...ITEM, delta }]),
        ['output_text.done', { ...ITEM, text }],
        ['completed', response('completed', text)],
      ];
      return all.map(([name, members], at) =>
        data({ type: `response.${name}`, sequence_number: at, ...members }, `response.${name}`),
      );
    },
    read: (event) => z.object({ delta: z.string() }).safeParse(event).data?.delta ?? '',
    isEnd: (last) => last.includes('"type":"response.incomplete"') && last.includes('"reason":"content_filter"'),
  },
];

class Client implements ClientStream {
  readonly got: string[] = [];
  readonly isGone = false;
  readonly unsentBytes = 0;
  get isBegun(): boolean {
    return this.got.length > 0;
  }
  send(): void {}
  write(piece: Buffer | string): void {
    this.got.push(piece.toString());
  }
  end(): void {}
  cut(): void {}
  giveUp(): void {}
  text(read: Route['read']): string {
    const events = new EventReader().read(Buffer.from(this.got.join('')));
    return events.map((event) => (event.data.toString() === '[DONE]' ? '' : read(parsed(event.data)))).join('');
  }
}
const parsed = (bytes: Buffer): Record<string, unknown> => z.looseObject({}).parse(JSON.parse(bytes.toString()));

interface Run {
  readonly path: EnginePath;
  readonly window: number;
  readonly judge: (texts: readonly string[]) => Promise<Verdict>;
  readonly isTold?: boolean;
}
function held({ path, window, judge, isTold = false }: Run): {
  client: Client;
  stream: HeldStream;
  stopped: Failure[];
} {
  const [client, stopped]: [Client, Failure[]] = [new Client(), []];
  const results = { hate: { filtered: false, severity: 'safe' as const } };
  const stream = new HeldStream(client, {
    path,
    choices: 1,
    filter: { prompt: { isBlocked: false, results }, judge, windowCharacters: window, blocked: () => {} },
    isTold,
    signal: new AbortController().signal,
    clock: () => performance.now(),
    stop: (why) => stopped.push(why),
    onFirst: () => {},
  });
  return { client, stream, stopped };
}
const verdict = (isBlocked: boolean): Verdict => ({ isBlocked, results: {} });

/** Texts in which the word may come anywhere, in pieces of any length, with pauses after any of them. */
const texts = fc.record({
  before: fc.string({ maxLength: 90 }),
  word: fc.constantFrom('', WORD, WORD),
  after: fc.string({ maxLength: 90 }),
  cuts: fc.array(fc.record({ length: fc.integer({ min: 1, max: 25 }), pause: fc.boolean() }), {
    minLength: 1,
    maxLength: 20,
  }),
  window: fc.integer({ min: WORD.length, max: 40 }),
  slow: fc.integer({ min: 0, max: 3 }),
});

test.each(ROUTES)('a client never gets a part of a blocked word, however the text is cut: $path', async (route) => {
  const { path, events, read, isEnd } = route;
  await fc.assert(
    fc.asyncProperty(texts, async ({ before, word, after, cuts, window, slow }) => {
      const text = before + word + after;
      const judge = async (parts: readonly string[]): Promise<Verdict> => {
        for (let n = 0; n < slow; n += 1) await turn();
        return verdict(parts.some((part) => part.includes(WORD)));
      };
      const { client, stream, stopped } = held({ path, window, judge });
      const pieces: string[] = [];
      for (let at = 0, n = 0; at < text.length; n += 1) {
        const length = cuts[n % cuts.length]?.length ?? 1;
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      const sent = events(pieces);
      for (const [n, event] of sent.entries()) {
        stream.write(Buffer.from(event));
        if (cuts[n % cuts.length]?.pause === true) await turn();
      }
      await stream.settle();
      const at = text.indexOf(WORD);
      if (at === -1) expect(client.got.join('')).toBe(sent.join(''));
      else {
        expect(client.text(read).length).toBeLessThanOrEqual(at);
        expect(text.startsWith(client.text(read))).toBe(true);
        expect(client.got.join('')).not.toContain(WORD);
        expect(isEnd(client.got.findLast((one) => one !== DONE && one !== usage) ?? '')).toBe(true);
        expect(stopped).toHaveLength(1);
      }
    }),
    { numRuns: 300 },
  );
});

test('before the first verdict the client has nothing, so that a failure can be a status; comments pass', async () => {
  const why = new Failure('safety_unavailable', 'no verdict');
  const { client, stream, stopped } = held({
    path: '/v1/chat/completions',
    window: 8,
    judge: () => Promise.reject(why),
  });
  for (const event of ROUTES[0]?.events(['Here are more ', 'than eight characters']) ?? [])
    stream.write(Buffer.from(event));
  expect(client.got).toEqual([]);
  stream.write(': keep-alive\n\n');
  await expect(stream.settle()).rejects.toBe(why);
  expect(client.got).toEqual([': keep-alive\n\n']);
  expect(stopped).toEqual([why]);
});

test('text comes while the answer runs: all but what is not judged, and one window', async () => {
  const { client, stream } = held({ path: '/v1/completions', window: 10, judge: async () => verdict(false) });
  for (let n = 0; n < 100; n += 1) {
    stream.write(Buffer.from(choice({ text: 'x' })));
    await turn();
  }
  expect(client.text(textOf).length).toBeGreaterThanOrEqual(80);
  expect(client.text(textOf).length).toBeLessThanOrEqual(90);
});

test('arguments of a call, reasoning and each choice are judged as texts of their own', async () => {
  const seen: string[] = [];
  const judge = async (parts: readonly string[]): Promise<Verdict> => {
    seen.push(...parts);
    return verdict(false);
  };
  const { stream } = held({ path: '/v1/chat/completions', window: 100, judge });
  const call = (text: string): object => ({ tool_calls: [{ index: 1, function: { arguments: text } }] });
  for (const delta of [{ reasoning_content: 'thi' }, call('{"a'), { reasoning_content: 'nk' }, call('":1}')])
    stream.write(Buffer.from(choice({ delta })));
  stream.write(
    Buffer.from(data({ ...HEAD, choices: [{ index: 1, delta: { content: 'other' }, finish_reason: null }] })),
  );
  await stream.settle();
  expect(seen.toSorted()).toEqual(['other', 'think', '{"a":1}']);
});

const logged = [{ token: WORD, logprob: -1, bytes: [118], top_logprobs: [] }];
test.each<[EnginePath, object, object]>([
  [
    '/v1/chat/completions',
    { choices: [{ index: 0, delta: { content: '' }, logprobs: { content: logged }, token_ids: [1] }] },
    { choices: [{ index: 0, delta: { content: WORD }, finish_reason: 'stop' }] },
  ],
  [
    '/v1/completions',
    { choices: [{ index: 0, text: '', logprobs: { tokens: [WORD] }, token_ids: [1] }] },
    { choices: [{ index: 0, text: WORD, finish_reason: 'stop' }] },
  ],
  [
    '/v1/responses',
    { type: 'response.output_text.delta', ...ITEM, delta: '', logprobs: logged },
    { type: 'response.output_text.delta', ...ITEM, delta: WORD },
  ],
])('tokens that an engine sends before their text reach no client: %s', async (path, early, late) => {
  const { client, stream } = held({ path, window: 10, judge: async (parts) => verdict(parts.includes(WORD)) });
  stream.write(Buffer.from(data(early)));
  stream.write(Buffer.from(data(late)));
  await stream.settle();
  expect(stream.isBlocked).toBe(true);
  expect(client.got.join('')).not.toMatch(/verboten|"token_ids":\[1/);
});

test("Azure OpenAI's stream tells what the filter found: first about the prompt, then in each choice", async () => {
  const judge = async (): Promise<Verdict> => ({
    isBlocked: false,
    results: { violence: { filtered: false, severity: 'low' } },
  });
  const { client, stream } = held({ path: '/v1/chat/completions', window: 10, judge, isTold: true });
  for (const event of ROUTES[0]?.events(['some text']) ?? []) stream.write(Buffer.from(event));
  await stream.settle();
  const events = new EventReader().read(Buffer.from(client.got.join('')));
  const [first, second, third] = events.map((event) => event.data.toString());
  expect(JSON.parse(first ?? '')).toMatchObject({
    choices: [],
    prompt_filter_results: [
      { prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: 'safe' } } },
    ],
  });
  for (const one of [second, third])
    expect(JSON.parse(one ?? '')).toMatchObject({
      choices: [{ content_filter_results: { violence: { filtered: false, severity: 'low' } } }],
    });
});

/** Events of which the last text is long, and where a client finds it. */
interface Several {
  readonly what: string;
  readonly path: EnginePath;
  readonly first: readonly object[];
  readonly later: (text: string) => object;
}
const of = (index: number, members: object, reason: string | null = null): object => ({
  choices: [{ index, ...members, finish_reason: reason }],
});
const responsePart = (kind: string, output: number, delta: string): object => ({
  type: `response.${kind}.delta`,
  item_id: `i${output}`,
  output_index: output,
  content_index: 0,
  delta,
});
const SEVERAL: readonly Several[] = [
  {
    what: 'reasoning, then content',
    path: '/v1/chat/completions',
    first: [of(0, { delta: { reasoning: 'I think. ' } })],
    later: (content) => of(0, { delta: { content } }),
  },
  {
    what: 'content, then the arguments of a call',
    path: '/v1/chat/completions',
    first: [
      of(0, { delta: { content: 'I call.' } }),
      of(0, { delta: { tool_calls: [{ index: 0, function: { name: 'f' } }] } }),
    ],
    later: (text) => of(0, { delta: { tool_calls: [{ index: 0, function: { arguments: text } }] } }),
  },
  {
    what: 'two choices, one short',
    path: '/v1/chat/completions',
    first: [of(1, { delta: { content: 'short' } }), of(1, { delta: {} }, 'stop')],
    later: (content) => of(0, { delta: { content } }),
  },
  {
    what: 'a batch of prompts, one answer short',
    path: '/v1/completions',
    first: [of(1, { text: 'short' }, 'stop')],
    later: (text) => of(0, { text }),
  },
  {
    what: 'a response with reasoning',
    path: '/v1/responses',
    first: [
      responsePart('reasoning_text', 0, 'I think.'),
      { type: 'response.reasoning_text.done', item_id: 'i0', output_index: 0, content_index: 0, text: 'I think.' },
    ],
    later: (delta) => responsePart('output_text', 1, delta),
  },
];

test.each(SEVERAL)(
  'a later text comes while it runs, whatever came before it: $what',
  async ({ path, first, later }) => {
    const { client, stream } = held({ path, window: 10, judge: async () => verdict(false) });
    for (const event of first) stream.write(Buffer.from(data(event)));
    for (let n = 0; n < 100; n += 1) {
      stream.write(Buffer.from(data(later('x'))));
      await turn();
    }
    const came = client.got.join('').split('"x"').length - 1;
    expect(came).toBeGreaterThanOrEqual(80);
    expect(came).toBeLessThanOrEqual(90);
  },
);

test('the end of a text waits for its verdict, though its choice has ended', async () => {
  let decide: (blocked: boolean) => void = () => {};
  const judge = (): Promise<Verdict> =>
    new Promise((resolve) => {
      decide = (blocked) => resolve(verdict(blocked));
    });
  const { client, stream } = held({ path: '/v1/completions', window: 10, judge });
  stream.write(Buffer.from(data(of(0, { text: 'something verb' }))));
  stream.write(Buffer.from(data(of(0, { text: 'oten' }, 'stop'))));
  decide(false);
  await turn();
  expect(client.got.join('')).not.toContain('verb');
  const settled = stream.settle();
  decide(true);
  await settled;
  expect(client.got.join('')).not.toContain('verb');
});

test('a client that is dropped as too slow while the last check runs ends the wait', async () => {
  const { stream, stopped } = held({ path: '/v1/completions', window: 10, judge: () => new Promise(() => {}) });
  stream.write(Buffer.from(data(of(0, { text: 'a text of some length' }, 'stop'))));
  const settled = stream.settle();
  stream.giveUp();
  await expect(settled).rejects.toMatchObject({ code: 'client_closed' });
  expect(stopped).toHaveLength(1);
});

test('an answer that is broken off while the last check runs ends the wait', async () => {
  const { stream } = held({ path: '/v1/completions', window: 10, judge: () => new Promise(() => {}) });
  stream.write(Buffer.from(data(of(0, { text: 'a text of some length' }, 'stop'))));
  const settled = stream.settle();
  stream.drop();
  await settled;
});
