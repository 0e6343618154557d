import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call, type Call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startScriptedStack, wholeAnswer, type ScriptedStack } from '../support/scripted-stack.ts';

const DEADLINE_MS = 4_000;
/** Without a timer of its own, a request would wait for the engine, which answers only when all others are over. */
const WITHIN_MS = 3_000;
const WAITING = 200;

let scripted: ScriptedStack;
/** the engine answers while this gate is open */
let gate: Promise<void> = Promise.resolve();
beforeAll(async () => {
  // One request at a time, so that all others wait.
  scripted = await startScriptedStack({ slots: 1 });
  scripted.script = async (res) => {
    await gate;
    res.setHeader('content-type', 'application/json').end(wholeAnswer('hello'));
  };
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

function ask(n: number, headers: Record<string, string> = {}, body: object = {}): Call {
  const question = { messages: [{ role: 'user', content: `hi ${n}` }], max_tokens: 4, ...body };
  return call(`${scripted.stack.url}/v1/chat/completions`, question, headers);
}
const someWait = (count: number) =>
  eventually(`${count} wait`, async () => (await scripted.stack.metric('penstock_queue_depth')) === count);
/** Fills the only slot, so that later requests wait. */
async function occupy(): Promise<{ readonly first: Call; readonly open: () => void }> {
  let open = (): void => {};
  gate = new Promise((resolve) => {
    open = resolve;
  });
  const before = scripted.engine.requests.length;
  const first = ask(0);
  await eventually('the engine is busy', () => scripted.engine.requests.length > before);
  return { first, open };
}

test('200 requests whose deadline passes in the queue get 504 at that moment, and none reaches an engine', async () => {
  const { first, open } = await occupy();
  const before = scripted.engine.requests.length;
  const asked = Array.from({ length: WAITING }, (_, n) =>
    ask(n + 1, { 'x-penstock-deadline-ms': String(DEADLINE_MS) }),
  );
  const outcomes = await Promise.all(asked.map(({ ended }) => ended));
  expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set([504]));
  expect(Math.min(...outcomes.map(({ tookMs }) => tookMs))).toBeGreaterThan(DEADLINE_MS - 250);
  expect(Math.max(...outcomes.map(({ tookMs }) => tookMs))).toBeLessThan(DEADLINE_MS + WITHIN_MS);
  await someWait(0);
  open();
  expect((await first.ended).status).toBe(200);
  expect((await ask(1_000).ended).status).toBe(200);
  expect(scripted.engine.requests.length).toBe(before + 1);
});

test('a stream whose deadline passes before its first keep-alive has the status 504', async () => {
  const { first, open } = await occupy();
  const { status, body } = await ask(1, { 'x-penstock-deadline-ms': '300' }, { stream: true }).ended;
  expect([status, body.includes('deadline_exceeded')]).toEqual([504, true]);
  open();
  await first.ended;
});

test.each([
  ['openai-node with timeout: 1900', { 'x-stainless-timeout': '1' }, 1_900],
  ['openai-python with timeout=1', { 'x-stainless-read-timeout': '1' }, 900],
])('%s: the deadline of a complete answer is not before the client’s own', async (_name, headers, atLeastMs) => {
  const { first, open } = await occupy();
  const { status, tookMs } = await ask(1, headers).ended;
  expect([status, tookMs > atLeastMs]).toEqual([504, true]);
  open();
  await first.ended;
});

test('the read timeout of openai-python ends no stream', async () => {
  const { first, open } = await occupy();
  scripted.script = async (res) => {
    await gate;
    res.setHeader('content-type', 'text/event-stream');
    res.end(
      'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    );
  };
  const asked = ask(1, { 'x-stainless-read-timeout': '0.2' }, { stream: true });
  const short = ask(2, { 'x-penstock-deadline-ms': '1500' });
  expect((await short.ended).status).toBe(504);
  open();
  await first.ended;
  expect((await asked.ended).body).toContain('[DONE]');
});

test.each(['0', '-5', 'soon', '1.5'])('a deadline of %s is refused by name', async (deadline) => {
  const { status, body } = await ask(1, { 'x-penstock-deadline-ms': deadline }).ended;
  expect([status, body.includes('x-penstock-deadline-ms')]).toEqual([400, true]);
});
