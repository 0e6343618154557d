import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call, WAYS_TO_LEAVE, type Call, type WayToLeave } from '../support/call.ts';
import type { Stack } from '../support/stack.ts';
import { eventually } from '../support/eventually.ts';
import { either, lasts } from '../support/full-length.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  LAST,
  startScriptedStack,
  wholeAnswer,
  type Script,
  type ScriptedStack,
} from '../support/scripted-stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const KEEP_ALIVE_MS = 300;
const ABORT_WITHIN_MS = 250;
/** How long a client waits for a first token that does not arrive. */
const PATIENCE_MS = either(2_000, 100);

const chat = (text: string, stream: boolean): object => ({ messages: [{ role: 'user', content: text }], stream });
const KINDS = [
  ['a stream', '/v1/chat/completions', (text: string) => chat(text, true)],
  ['a plain call', '/v1/chat/completions', (text: string) => chat(text, false)],
  ['/score', '/score', (text: string) => ({ input_data: { input_string: [{ role: 'user', content: text }] } })],
] as const;

let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack({
    gatewayEnv: { GATEWAY_KEEP_ALIVE_MS: String(KEEP_ALIVE_MS) },
    slots: 128,
  });
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

/** No trace of any request is left: gauge, slots, Redis. */
async function nothingLeft(): Promise<void> {
  const { stack } = scripted;
  await eventually('gauge at 0', async () => (await stack.metric('penstock_requests_in_flight')) === 0);
  // The dispatcher reports once a second.
  await eventually('slots free', async () => (await inFlight()) === 0);
  await eventually('nothing in Redis', () => isEmpty(stack));
}
async function isEmpty({ redis }: Stack): Promise<boolean> {
  const kept = [...(await redis.client.keys('*:body:*')), ...(await redis.client.keys('*:reserv*'))];
  return kept.length === 0;
}
async function inFlight(): Promise<number> {
  const { workers } = await scripted.stack.status();
  return workers.flatMap(({ engines }) => engines).reduce((sum, { inFlight: { text } }) => sum + text, 0);
}
/** Disconnects and returns the milliseconds until the engine's connection was closed, all on this process's clock. */
async function abortAfter(sent: Call, how: WayToLeave, n: number): Promise<number> {
  const at = sent.leave(how);
  const abortedAt = await eventually('the engine sees it', () => scripted.engine.requests[n]?.abortedAt);
  return abortedAt - at;
}

const PHASES: readonly (readonly [phase: string, script: Script, waitMs: number])[] = [
  [
    'during a long prefill',
    (res, { isStream }) => void (isStream && res.writeHead(200, EVENT_STREAM).flushHeaders()),
    PATIENCE_MS,
  ],
  [
    'after a keep-alive',
    (res, { isStream }) => void (isStream && res.writeHead(200, EVENT_STREAM).flushHeaders()),
    2 * KEEP_ALIVE_MS,
  ],
  [
    'while its engine falls silent in mid-answer',
    (res, { isStream }) => {
      res.writeHead(200, isStream ? EVENT_STREAM : { 'content-type': 'application/json' });
      res.write(isStream ? chunk('a') : wholeAnswer('a').slice(0, 20));
    },
    PATIENCE_MS,
  ],
];
const PHASES_OF_KINDS = PHASES.flatMap(([phase, script, waitMs]) =>
  // Only streams have keep-alives.
  KINDS.slice(0, phase === 'after a keep-alive' ? 1 : KINDS.length).map(
    (kind) => [phase, ...kind, script, waitMs] as const,
  ),
);
test.each(PHASES_OF_KINDS)(
  'a client that leaves %s stops the engine within 250 ms, however it leaves: %s',
  async (_phase, _kind, path, request, script, waitMs) => {
    scripted.script = script;
    for (const how of WAYS_TO_LEAVE) {
      const n = scripted.engine.requests.length;
      const sent = call(scripted.stack.url + path, request('go on'));
      await eventually('the engine has it', () => scripted.engine.requests.length > n);
      await lasts(waitMs);
      expect(await abortAfter(sent, how, n)).toBeLessThan(ABORT_WITHIN_MS);
    }
    await nothingLeft();
  },
);

test('a client that leaves while its request waits removes its job, in every form of request', async () => {
  await using small = await startScriptedStack({ slots: 1 });
  const { stack, engine } = small;
  const held: ServerResponse[] = [];
  small.script = (res) => void held.push(res);
  const running = call(`${stack.url}/v1/chat/completions`, chat('first', false));
  await eventually('the only slot is taken', () => held.length === 1);
  for (const [[, path, request], how] of KINDS.flatMap((kind) => WAYS_TO_LEAVE.map((how) => [kind, how] as const))) {
    const waiting = call(stack.url + path, request('second'));
    const job = await eventually('it waits', async () => {
      const [id] = await stack.redis.client.zrange(`{penstock:${MODEL}}:text:prioritized`, '0', '-1');
      return id;
    });
    await lasts(PATIENCE_MS);
    waiting.leave(how);
    const isGone = async (): Promise<boolean> =>
      (await stack.redis.client.exists(`{penstock:${MODEL}}:text:${job}`)) === 0 &&
      (await stack.metric('penstock_queue_depth')) === 0 &&
      (await stack.metric('penstock_requests_in_flight')) === 1;
    await eventually('its job is removed, and the gauge counts only the first', isGone);
  }
  held[0]?.end(wholeAnswer('first'));
  expect((await running.ended).status).toBe(200);
  expect(engine.requests).toHaveLength(1);
  await eventually('nothing in Redis', () => isEmpty(stack));
}, 90_000);

/** Repeats the caller's text in pieces, over some 60 ms. */
const echo: Script = async (res, { text, isStream }) => {
  if (isStream) res.writeHead(200, EVENT_STREAM).flushHeaders();
  for (let n = 0; n < 6; n += 1) {
    await lasts(10);
    if (isStream) res.write(chunk(n === 5 ? text : ''));
  }
  res.end(isStream ? LAST + DONE : wholeAnswer(text));
};
const AGAIN = either(200, 48);
test.each(KINDS)(
  'a request repeated immediately with the same id is not affected by the end of the abandoned one: %s',
  async (_kind, path, request) => {
    const { stack, engine } = scripted;
    const first = engine.requests.length;
    const headers = { 'x-request-id': 'a', 'x-ms-client-request-id': 'a' };
    let left = AGAIN;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const n = left;
        // The first client gives up; the second is answered.
        const gone = call(stack.url + path, request('gone'), headers);
        await lasts(50);
        gone.leave(n % 2 === 0 ? 'close' : 'reset');
        await lasts(n % 6);
        const again = await call(stack.url + path, request(`answer ${n}`), headers).ended;
        expect(again).toMatchObject({ status: 200, isWhole: true });
        expect(again.headers).toMatchObject(headers);
        expect(again.body).toContain(`answer ${n}`);
        if (path !== '/score' && again.headers['content-type']?.includes('event-stream'))
          expect(again.body.endsWith(DONE)).toBe(true);
      }
    };
    scripted.script = async (res, asked) => {
      if (asked.text === 'gone' && asked.isStream) res.writeHead(200, EVENT_STREAM).flushHeaders();
      if (asked.text !== 'gone') await echo(res, asked);
    };
    await Promise.all(Array.from({ length: 4 }, lane));
    const ids = engine.requests.slice(first).map(({ headers: given }) => String(given['x-request-id']));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain('a');
    await nothingLeft();
  },
  120_000,
);

test.each(KINDS)(
  'two concurrent callers with the same request id each get their own answer: %s',
  async (_kind, path, request) => {
    scripted.script = echo;
    for (let n = 0; n < 10; n += 1) {
      const both = ['one', 'two'].map(
        (who) =>
          call(scripted.stack.url + path, request(`text of ${who}`), {
            'x-request-id': 'a',
            authorization: `Bearer ${who}`,
          }).ended,
      );
      const [one, two] = await Promise.all(both);
      expect([one?.status, two?.status]).toEqual([200, 200]);
      expect(one?.body).toContain('text of one');
      expect(one?.body).not.toContain('text of two');
      expect(two?.body).toContain('text of two');
      expect(two?.body).not.toContain('text of one');
    }
  },
);

/** A connection that sends a request and does not read until asked to. */
async function openUnread(body: object): Promise<Socket> {
  const { port } = new URL(scripted.stack.url);
  const socket = connect(Number(port), '127.0.0.1');
  // Before it connects, so that not a byte is taken out of the kernel's buffer.
  socket.pause();
  socket.on('error', () => {});
  const text = JSON.stringify(body);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
  await new Promise((resolve) => socket.write(`${head}content-length: ${text.length}\r\n\r\n${text}`, resolve));
  return socket;
}
function residentBytes(pid: number): number {
  const pages = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1];
  return Number(pages) * 4_096;
}
function every(ms: number, look: () => void): Disposable {
  const timer = setInterval(look, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
const PIECE = chunk('x'.repeat(2_048));
/** A long answer, at the speed of the reader, or with a pause after each piece. */
async function pour(res: ServerResponse, count: number, everyMs = 0): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  res.writeHead(200, EVENT_STREAM);
  for (let n = 0; n < count && !gone.signal.aborted; n += 1)
    if (!res.write(PIECE)) await once(res, 'drain', { signal: gone.signal }).catch(() => {});
    else if (everyMs > 0) await lasts(everyMs);
  res.end(LAST + DONE);
}
/** 99th percentile of the gaps between tokens of normal clients, in milliseconds. */
async function gapsBeside(clients: number): Promise<number> {
  const calls = Array.from(
    { length: clients },
    () => call(`${scripted.stack.url}/v1/chat/completions`, chat('normal', true)).ended,
  );
  const gaps: number[] = [];
  for (const { status, body, pieces } of await Promise.all(calls)) {
    expect(status).toBe(200);
    expect(body.slice(-DONE.length)).toBe(DONE);
    gaps.push(...pieces.slice(1).map(({ atMs }, i) => atMs - (pieces[i]?.atMs ?? 0)));
  }
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length * 0.99)] ?? Infinity;
}
const STALLED = either(100, 12);
test('clients that never read are given up, and affect neither memory nor other clients', async () => {
  const { stack, engine } = scripted;
  scripted.script = async (res, { text }) => {
    if (text === 'stalled') return pour(res, 4_096, either(20, 4));
    res.writeHead(200, EVENT_STREAM);
    for (let n = 0; n < 150 && !res.destroyed; n += 1) {
      res.write(chunk('y'));
      await lasts(20);
    }
    res.end(LAST + DONE);
  };
  const alone = await gapsBeside(10);
  const pid = stack.gateways[0]?.child.pid ?? 0;
  const before = residentBytes(pid);
  let most = 0;
  using _watch = every(20, () => {
    most = Math.max(most, residentBytes(pid));
  });
  const first = engine.requests.length;
  const beside = gapsBeside(10);
  const sockets = await Promise.all(Array.from({ length: STALLED }, () => openUnread(chat('stalled', true))));
  const besideMs = await beside;
  await eventually(
    'the engine saw the end of each',
    () => {
      const stalled = engine.requests.slice(first).filter(({ abortedAt }) => abortedAt !== undefined);
      return stalled.length === STALLED;
    },
    60_000,
  );
  for (const socket of sockets) socket.destroy();
  process.stdout.write(
    `clients that never read: p99 gap ${alone.toFixed(0)} ms alone, ${besideMs.toFixed(0)} ms beside; grown by ${((most - before) / 2 ** 20).toFixed(0)} MiB\n`,
  );
  expect(most - before).toBeLessThan(150 * 2 ** 20);
  // This process runs all clients and the engine.
  expect(besideMs).toBeLessThan(3 * alone + 500);
  await nothingLeft();
}, 120_000);

test(
  'a slow client with less unsent than the limit gets its complete answer',
  async () => {
    const PIECES = either(6, 600);
    scripted.script = (res) => pour(res, PIECES);
    const socket = await openUnread(chat('slow', true));
    const [bytes, everyMs] = either([100, 1_000], [20_000, 50]);
    let text = '';
    socket.on('end', () => socket.destroy());
    while (!socket.destroyed && !text.endsWith('0\r\n\r\n')) {
      const piece: unknown = socket.read(bytes) ?? socket.read();
      if (piece instanceof Uint8Array || Buffer.isBuffer(piece)) text += piece.toString();
      await lasts(everyMs);
    }
    socket.destroy();
    expect(text).toContain(DONE);
    expect(text.split(PIECE).length - 1).toBe(PIECES);
    await nothingLeft();
  },
  either(300_000, 60_000),
);
