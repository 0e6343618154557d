import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { redisKeys } from '#contract/redis-keys';
import type { EngineEntry } from '../../worker-launcher/dispatch/link.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { postJson } from '../support/post.ts';
import { chunk, scriptedEngine, startScriptedDispatcher } from '../support/scripted-stack.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Four engines; this word in a request crashes an engine, and another one replaces it immediately. */
const POISON = 'belladonna';
const ENGINES = 4;
const TEN_MINUTES_MS = 600_000;
const GONE = {
  error: {
    message: 'EngineCore encountered an issue. See stack trace (above) for the root cause.',
    type: 'InternalServerError',
    param: null,
    code: 500,
  },
};

interface Playing {
  readonly engine: FakeEngine;
  /** with a pid that no life before had */
  readonly entry: EngineEntry;
  readonly open: Set<ServerResponse>;
}
let playing: Playing[];
let stack: Stack;
let dispatcher: AsyncDisposable;
/** crashed engines, by request */
let deaths: string[];
/** how an engine crashes because of a request */
let die: (res: ServerResponse) => void;
/** if set, engines work on the other requests until this is called */
let holding: (() => void)[] | undefined;

const cut = (res: ServerResponse): void => void res.destroy();
const says = (res: ServerResponse): void => {
  if (!res.headersSent) res.writeHead(500, { 'content-type': 'application/json' });
  res.end(JSON.stringify(GONE));
};

async function startEngine(index: number): Promise<Playing> {
  const open = new Set<ServerResponse>();
  const engine = await startFakeEngine((res, body) => {
    const text = JSON.stringify(body);
    res.on('error', () => {});
    res.on('close', () => open.delete(res));
    open.add(res);
    if (text.includes(POISON)) {
      deaths.push(text);
      entry.pid = (entry.pid ?? 0) + 1;
      for (const one of open) if (one !== res) one.destroy();
      die(res);
    } else if (holding === undefined) answer(res, text.includes('"stream":true'));
    else holding.push(() => answer(res, text.includes('"stream":true')));
  });
  const entry: EngineEntry = { ...scriptedEngine('Phi-3-vision-128k-instruct', engine), id: `engine-${index}` };
  return { engine, entry, open };
}

function answer(res: ServerResponse, isStream: boolean): void {
  if (res.destroyed) return;
  if (isStream) {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.end(`${chunk('Well.', 'stop')}data: [DONE]\n\n`);
    return;
  }
  const choice = { index: 0, message: { role: 'assistant', content: 'Well.' }, finish_reason: 'stop' };
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ choices: [choice], usage: { prompt_tokens: 1, total_tokens: 2, completion_tokens: 1 } }));
}

beforeAll(async () => {
  stack = await startStack({ launchers: 0, gateways: 2, gatewayEnv: { GATEWAY_AUDIT_FILE: '-' } });
  playing = await Promise.all(Array.from({ length: ENGINES }, (_, index) => startEngine(index)));
  dispatcher = await startScriptedDispatcher(
    stack,
    playing.map(({ entry }) => entry),
  );
}, 60_000);
afterAll(async () => {
  await dispatcher[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
  await Promise.all(playing.map(({ engine }) => engine[Symbol.asyncDispose]()));
});
beforeEach(() => {
  deaths = [];
  die = cut;
  holding = undefined;
});

const ask = (content: string, replica = 0, stream = false) =>
  postJson(`${stack.gateways[replica]?.url ?? ''}/v1/chat/completions`, {
    stream,
    messages: [{ role: 'user', content }],
  });
const Told = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
const codeOf = (text: string): string => Told.parse(JSON.parse(text)).error.code;
const redis = () => stack.redis.client;

test.each([
  ['breaks its connections', cut],
  ['reports it and exits', says],
])(
  'N9: an engine that crashes because of a request %s: the request is retried once, then all replicas refuse it immediately',
  async (how, way) => {
    die = way;
    const content = `${POISON}, ${how}`;
    const first = await ask(content);
    expect([first.status, codeOf(first.text), first.headers.get('x-should-retry')]).toEqual([
      502,
      'request_quarantined',
      'false',
    ]);
    // If a connection is reset before the first byte of the answer, the dispatcher retries once at the same engine.
    const died = deaths.length;
    expect(died).toBe(way === cut ? 4 : 2);
    expect(codeOf((await ask(content)).text)).toBe('request_quarantined');
    expect(deaths).toHaveLength(died);
    // It reads the list four times a second; an earlier request costs one engine more.
    expect(codeOf((await ask(content, 1)).text)).toBe('request_quarantined');
    const late = deaths.length;
    expect(late).toBeLessThanOrEqual(died + died / 2);
    expect(codeOf((await ask(content, 1)).text)).toBe('request_quarantined');
    expect(deaths).toHaveLength(late);
    expect((await ask(`well, ${how}`)).status).toBe(200);
    const [hash = '', until = ''] = await redis().zrange(redisKeys.quarantine(), '-1', '-1', 'WITHSCORES');
    const [seconds = 0] = await redis().time();
    expect(hash).not.toContain(POISON);
    expect(Number(until) / 1_000 - seconds).toBeLessThanOrEqual(TEN_MINUTES_MS / 1_000 + 1);
    expect(await redis().pttl(redisKeys.quarantine())).toBeGreaterThan(TEN_MINUTES_MS - 60_000);
  },
  60_000,
);

test('N9: crashes are counted per key, and the log reports the quarantine without a word of the request', async () => {
  const content = `${POISON}, counted`;
  await ask(content);
  const output = stack.gateways[0]?.output() ?? '';
  expect(output).toContain('refused from now on');
  expect(output).not.toContain(POISON);
  const line = output
    .split('\n')
    .find((text) => text.startsWith('{"audit":1,') && text.includes('request.quarantined'));
  expect(JSON.parse(line ?? '{}')).toMatchObject({ act: 'request.quarantined', what: expect.stringMatching(/^\d+-/) });
  const metrics = await (await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/metrics`)).text();
  expect(metrics).toMatch(/penstock_engine_deaths_total\{key="anonymous"\} [1-9]/);
  expect(metrics).toMatch(/^penstock_quarantined_total [1-9]/m);
});

test('N9: streams of the crashed engines continue on others; none of them is refused', async () => {
  holding = [];
  const others = Array.from({ length: 24 }, (_, index) => ask(`honest ${index}`, 0, true));
  await eventually('all are on engines', () => holding?.length === 24);
  const poison = await ask(`${POISON}, among others`);
  expect(codeOf(poison.text)).toBe('request_quarantined');
  const goOn = holding;
  holding = undefined;
  for (const one of goOn) one();
  const answers = await Promise.all(others);
  expect(answers.filter(({ text }) => !text.endsWith('data: [DONE]\n\n'))).toEqual([]);
}, 60_000);

test('N9: a crash counts once, though several gateways lose the same request by it', async () => {
  holding = [];
  const all: ReturnType<typeof ask>[] = [];
  // Each engine that is used gets requests of both gateways, because the emptiest one gets the next.
  for (let n = 0; n < 4 * ENGINES; n += 1) {
    all.push(ask('well met', n < 2 * ENGINES ? 0 : 1, true));
    await eventually('an engine has it', () => holding?.length === all.length);
  }
  const [shared] = playing.toSorted((a, b) => b.open.size - a.open.size);
  const lost = shared?.open.size ?? 0;
  const crash = (): void => {
    for (const one of shared?.open ?? []) one.destroy();
  };
  crash();
  // The dispatcher tries once more at the same engine.
  await eventually('they are there again', () => holding?.length === all.length + lost);
  crash();
  await eventually('they are at others', () => holding?.length === all.length + 2 * lost);
  const goOn = holding;
  holding = undefined;
  for (const one of goOn) one();
  for (const { status, text } of await Promise.all(all))
    expect([status, text.endsWith('data: [DONE]\n\n')]).toEqual([200, true]);
  expect((await ask('well met')).status).toBe(200);
}, 60_000);

test('N9: an answer clears the suspicion: two crashes far apart cause no quarantine', async () => {
  const content = `${POISON}, at times`;
  for (let turn = 0; turn < 3; turn += 1) {
    // The dispatcher retries once at the same engine, then another engine answers.
    let left = 2;
    die = (res) => {
      left -= 1;
      if (left < 0) answer(res, false);
      else cut(res);
    };
    expect((await ask(content)).status).toBe(200);
  }
});

test('N9: a client that leaves after the first crash and repeats the request does not reset the count', async () => {
  const content = `${POISON}, and away`;
  let left = 2;
  die = (res) => {
    left -= 1;
    if (left >= 0) cut(res);
  };
  const leaving = new AbortController();
  const messages = [{ role: 'user', content }];
  const first = fetch(`${stack.gateways[0]?.url ?? ''}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages }),
    signal: leaving.signal,
  });
  await eventually('it runs again', () => left < 0);
  leaving.abort();
  await expect(first).rejects.toThrow();
  die = cut;
  const before = deaths.length;
  expect(codeOf((await ask(content)).text)).toBe('request_quarantined');
  expect(deaths.length - before).toBe(2);
});

test('N9: the loss of a dispatcher does not count as a crash of its engines', async () => {
  holding = [];
  const waiting = ask('on a lost node', 0, true);
  await eventually('it is on an engine', () => holding?.length === 1);
  const before = await redis().keys(redisKeys.deaths('*'));
  await dispatcher[Symbol.asyncDispose]();
  holding = undefined;
  dispatcher = await startScriptedDispatcher(
    stack,
    playing.map(({ entry }) => entry),
  );
  expect((await waiting).text.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(await redis().keys(redisKeys.deaths('*'))).toEqual(before);
}, 60_000);
