import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { z } from 'zod';
import { FULL } from '../support/answer-endings.ts';
import { call, type Call, type Outcome } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import {
  chunk,
  DONE,
  EVENT_STREAM,
  LAST,
  startScriptedStack,
  wholeAnswer,
  type ScriptedStack,
} from '../support/scripted-stack.ts';
import { WHOLE_RESPONSE } from '../support/response-endings.ts';
import { cleanEnv, PENSTOCK } from '../support/start-process.ts';

const KEEP_ALIVE_MS = 2_000;
const CHAT = '/v1/chat/completions';
const STREAM = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 256, stream: true };

let scripted: ScriptedStack;
/** the URL of a gateway with a short keep-alive; the first one has 15 s */
let hasty: string;
beforeAll(async () => {
  scripted = await startScriptedStack({ slots: 1 });
  scripted.script = async (res, { isStream, text }) => {
    await gate;
    // Only the bodies of responses have no messages.
    if (text === '') res.writeHead(200, EVENT_STREAM).end(WHOLE_RESPONSE.bytes.join(''));
    else if (isStream) res.writeHead(200, EVENT_STREAM).end(chunk('hello') + LAST + DONE);
    else res.setHeader('content-type', 'application/json').end(wholeAnswer('hello'));
  };
  hasty = (await scripted.stack.startGateway({ GATEWAY_KEEP_ALIVE_MS: String(KEEP_ALIVE_MS) })).url;
}, 120_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

/** the engine answers while this gate is open */
let gate: Promise<void> = Promise.resolve();
let open: () => void = () => {};
/** Fills the only slot, so that later requests wait until `open`. */
beforeEach(async () => {
  gate = new Promise((resolve) => {
    open = resolve;
  });
  const before = scripted.engine.requests.length;
  void call(scripted.stack.url + CHAT, { ...STREAM, stream: false });
  await eventually('the slot is taken', () => scripted.engine.requests.length > before);
});

afterEach(() => open());

/** Sends a request, and waits until that many wait. */
async function waits(count: number, url: string, headers: Record<string, string> = {}, path = CHAT): Promise<Call> {
  const sent = call(url + path, STREAM, headers);
  const depth = (): Promise<number> => scripted.stack.metric('penstock_queue_depth');
  await eventually(`${count} wait`, async () => (await depth()) === count);
  return sent;
}
const blocksOf = ({ body }: Outcome): string[] => body.split('\n\n');
const ResponseEvent = z.object({
  type: z.string(),
  sequence_number: z.number(),
  response: z.object({ id: z.string(), created_at: z.number(), status: z.string() }).optional(),
});
const Facts = z.object({
  queues: z.array(
    z.object({
      kind: z.string(),
      expectedWaitMs: z.number(),
      bookings: z.number(),
      keys: z.array(z.object({ key: z.string(), class: z.string(), backlogMs: z.number() })),
    }),
  ),
  refusals: z.record(z.string(), z.number()),
});
const WAITING = /^: waiting position=(\d+) eta_ms=(\d+)$/;
const positionsOf = (outcome: Outcome): number[] =>
  blocksOf(outcome)
    .flatMap((block) => WAITING.exec(block)?.[1] ?? [])
    .map(Number);

test('streams that wait are told their position at the keep-alive, and the real wait before the first event', async () => {
  const calls = [await waits(1, hasty), await waits(2, hasty)];
  await Promise.all(calls.map(({ begun }) => begun));
  open();
  const outcomes = await Promise.all(calls.map(({ ended }) => ended));
  for (const [i, outcome] of outcomes.entries()) {
    expect(outcome).toMatchObject({ status: 200, isWhole: true });
    expect(positionsOf(outcome)[0]).toBe(i + 1);
    expect(outcome.pieces[0]?.atMs).toBeGreaterThan(KEEP_ALIVE_MS - 50);
    const blocks = blocksOf(outcome).filter((block) => !WAITING.test(block));
    expect(blocks.length).toBe(5);
    expect(blocks.slice(1).join('\n\n')).toBe(chunk('hello') + LAST + DONE);
    const waitedMs = Number(/^: waited queue_ms=(\d+)$/.exec(blocks[0] ?? '')?.[1]);
    expect(waitedMs).toBeGreaterThan(KEEP_ALIVE_MS - 500);
    expect(waitedMs).toBeLessThan(outcome.tookMs);
    expect(outcome.headers['x-penstock-queue-wait-ms']).toBeUndefined();
  }
}, 60_000);

test('x-penstock-progress: the position each second, from the first second on', async () => {
  const first = await waits(1, scripted.stack.url, { 'x-penstock-progress': '1' });
  const silent = await waits(2, scripted.stack.url);
  await first.begun;
  const asked = performance.now();
  await eventually('it was told for three seconds', () => performance.now() - asked > 3_200);
  open();
  const told = await first.ended;
  expect(told.pieces[0]?.atMs).toBeGreaterThan(950);
  expect(told.pieces[0]?.atMs).toBeLessThan(10_000);
  expect(positionsOf(told).length).toBeGreaterThanOrEqual(3);
  expect(new Set(positionsOf(told))).toEqual(new Set([1]));
  // Its headers left after the wait, so they tell it, and nothing is said in the body.
  const other = await silent.ended;
  expect(other.body).toBe(chunk('hello') + LAST + DONE);
  expect(Number(other.headers['x-penstock-queue-wait-ms'])).toBeGreaterThan(3_000);
}, 60_000);

test('a response that waits is created and queued once; the engine’s events follow in identity and number', async () => {
  const body = { input: 'hi', max_output_tokens: 256, stream: true } as const;
  const sent = [hasty, hasty].map((url) => call(`${url}/v1/responses`, body));
  const reader = new OpenAI({ baseURL: `${hasty}/v1`, apiKey: 'unused', maxRetries: 0 });
  const final = reader.responses.stream({ ...body, model: 'Phi-3-vision-128k-instruct' }).finalResponse();
  await Promise.all(sent.map(({ begun }) => begun));
  await eventually('comments come again', async () => {
    const depth = await scripted.stack.metric('penstock_queue_depth');
    return depth === 3;
  });
  open();
  for (const { ended } of sent) {
    const outcome = await ended;
    const events = blocksOf(outcome).flatMap((block) => {
      const data = /^event: .*\ndata: (.*)$/.exec(block)?.[1];
      return data === undefined ? [] : [ResponseEvent.parse(JSON.parse(data))];
    });
    expect(events.slice(0, 4).map(({ type }) => type)).toEqual([
      'response.created',
      'response.queued',
      'response.in_progress',
      'response.output_item.added',
    ]);
    expect(events.at(-1)?.type).toBe('response.completed');
    expect(events.filter(({ type }) => type === 'response.created').length).toBe(1);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    const responses = events.flatMap(({ response }) => response ?? []);
    expect(new Set(responses.map(({ id, created_at: at }) => `${id} ${at}`)).size).toBe(1);
    expect(responses.map(({ status }) => status)).toEqual(['queued', 'queued', 'in_progress', 'completed']);
    expect(outcome.body).toMatch(/\n\n: waiting position=\d eta_ms=\d+\n\n/);
    expect(outcome.body).toMatch(/\n\n: waited queue_ms=\d+\n\n/);
  }
  expect((await final).output_text).toBe(FULL);
}, 60_000);

test('a response whose deadline passes after it was queued ends in an error event with the next number', async () => {
  const body = { input: 'hi', stream: true };
  const outcome = await call(`${hasty}/v1/responses`, body, { 'x-penstock-deadline-ms': String(2 * KEEP_ALIVE_MS) })
    .ended;
  expect(outcome.status).toBe(200);
  expect(blocksOf(outcome).at(-2)).toMatch(/^event: error\ndata: .*"code":"deadline_exceeded".*"sequence_number":2/);
  open();
}, 60_000);

test('half of the read timeout of a client is the longest silence of its stream', async () => {
  const sent = await waits(1, scripted.stack.url, { 'x-stainless-read-timeout': '3.0' });
  await sent.begun;
  open();
  const outcome = await sent.ended;
  expect(outcome.pieces[0]?.atMs).toBeLessThan(10_000);
  expect(positionsOf(outcome)[0]).toBe(1);
}, 60_000);

test('a deadline that passes in the queue is 504 before the first keep-alive, and an error event after it', async () => {
  const deadline = (ms: number) => ({ 'x-penstock-deadline-ms': String(ms) });
  const calls = [KEEP_ALIVE_MS / 2, 2 * KEEP_ALIVE_MS].map((ms) => call(hasty + CHAT, STREAM, deadline(ms)));
  const [early, late] = await Promise.all(calls.map(({ ended }) => ended));
  if (early === undefined || late === undefined) throw new Error('there are two');
  expect(early.status).toBe(504);
  expect(early.body).toContain('deadline_exceeded');
  expect(late.status).toBe(200);
  const blocks = blocksOf(late);
  expect(blocks.some((block) => WAITING.test(block))).toBe(true);
  expect(blocks.at(-2)).toMatch(/^data: {"error":.*"code":"deadline_exceeded"/);
  open();
}, 60_000);

test('the expected wait, the drain, bookings, keys and refusals are in penstock status and the metrics', async () => {
  const full = await scripted.stack.startGateway({ GATEWAY_QUEUE_LIMIT_JOBS: '1' });
  const sent = await waits(1, full.url);
  const refused = await call(full.url + CHAT, STREAM).ended;
  expect(refused).toMatchObject({ status: 429, headers: { 'x-penstock-refusal': 'queue_full; booked' } });
  const asked = ['status', '--gateway-url', full.internalUrl];
  const { stdout } = await penstock([...asked, '--json']);
  const { queues, refusals } = Facts.parse(JSON.parse(stdout));
  const text = queues.find(({ kind }) => kind === 'text');
  expect(text?.expectedWaitMs).toBeGreaterThan(0);
  expect(text?.bookings).toBe(1);
  expect(text?.keys).toMatchObject([{ key: 'anonymous', class: 'default' }]);
  expect(text?.keys[0]?.backlogMs).toBeGreaterThan(text?.expectedWaitMs ?? 0);
  expect(refusals['rejected_queue_jobs']).toBe(1);
  expect(await scripted.stack.metric('penstock_queue_expected_wait_seconds', full)).toBeGreaterThan(0);
  expect(await scripted.stack.metric('penstock_queue_bookings', full)).toBe(1);

  const watching = spawn(process.execPath, [PENSTOCK, ...asked, '--watch'], { env: cleanEnv() });
  let seen = '';
  watching.stdout.on('data', (bytes) => (seen += String(bytes)));
  await eventually('it is drawn three times', () => seen.split('anonymous').length > 3);
  watching.kill('SIGINT');
  expect(await once(watching, 'close')).toEqual([null, 'SIGINT']);
  open();
  await sent.ended;
}, 60_000);

test("Anthropic's streams have the position beside a ping; Azure's inference routes say nothing new", async () => {
  const body = { model: 'Phi-3-vision-128k-instruct', ...STREAM };
  const anthropic = call(`${hasty}/v1/messages`, body);
  const azure = call(`${hasty}/models/chat/completions`, STREAM);
  await Promise.all([anthropic.begun, azure.begun]);
  open();
  const told = await anthropic.ended;
  expect(blocksOf(told)[0]).toMatch(/^: waiting position=\d eta_ms=\d+\nevent: ping\ndata: {"type":"ping"}$/);
  expect(told.body).toContain('\n\n: waited queue_ms=');
  const said = await azure.ended;
  expect(said.body).not.toMatch(/^:/m);
  expect(said.body).toContain('hello');
}, 60_000);
