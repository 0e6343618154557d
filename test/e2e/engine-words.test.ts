import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { chunk, DONE, EVENT_STREAM, startScriptedStack, type ScriptedStack } from '../support/scripted-stack.ts';

/** In the prompt; the engine repeats it in every error message. */
const CANARY = 'zanzibarcanary';

let scripted: ScriptedStack;
beforeAll(async () => {
  scripted = await startScriptedStack({ gatewayEnv: { GATEWAY_LOG_LEVEL: 'debug' } });
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
});

const error = (code: number, message: string): string =>
  JSON.stringify({ error: { message, type: 'x', param: CANARY.repeat(8), code } });
const asAnswer =
  (status: number, message: string) =>
  (res: ServerResponse): void =>
    void res.writeHead(status, { 'content-type': 'application/json' }).end(error(status, message));
const inStream =
  (before: string, status: number, message: string) =>
  (res: ServerResponse): void =>
    void res.writeHead(200, EVENT_STREAM).end(`${before}data: ${error(status, message)}\n\n${DONE}`);

const FAULTS: readonly (readonly [what: string, script: (res: ServerResponse) => void, codes: readonly string[]])[] = [
  ['a refusal', asAnswer(400, `cannot parse ${CANARY}`), ['engine_refused']],
  ['a refusal of another status', asAnswer(422, `1 validation error: {'input': '${CANARY}'}`), ['engine_refused']],
  ['a fault', asAnswer(500, `list index out of range: ${CANARY}`), ['engine_failed']],
  ['a fault over a grammar', asAnswer(500, `EBNF lexer error: ${CANARY}`), ['engine_refused']],
  ['a refusal in a stream', inStream('', 400, `cannot parse ${CANARY}`), ['engine_refused', 'worker_lost']],
  ['a fault in a stream', inStream('', 500, `assertion failed: ${CANARY}`), ['engine_failed', 'worker_lost']],
  ['a fault after words', inStream(chunk('a'), 500, `assertion failed: ${CANARY}`), ['engine_failed', 'worker_lost']],
  ['a grammar after words', inStream(chunk('a'), 500, `xgrammar: ${CANARY}`), ['engine_refused', 'worker_lost']],
  ['an invalid answer', (res) => void res.end(CANARY), ['worker_lost']],
  ['an error that is not JSON', (res) => void res.writeHead(500).end(CANARY), ['engine_failed']],
  [
    'an invalid content type',
    (res) => void res.writeHead(200, { 'content-type': CANARY }).end(CANARY),
    ['worker_lost'],
  ],
];

test.each(FAULTS)(
  'N15: %s that repeats a word of the prompt: neither log nor client sees it',
  async (_what, script, codes) => {
    scripted.script = script;
    const { url } = scripted.stack;
    for (const stream of [false, true]) {
      const id = `words-${Math.random().toString(36).slice(2)}`;
      const body = { messages: [{ role: 'user', content: CANARY }], stream };
      const outcome = await call(`${url}/v1/chat/completions`, body, { 'x-request-id': id }).ended;
      expect(outcome.body).not.toContain(CANARY);
      const line = await eventually('the log line', () =>
        scripted.stack.gateways[0]
          ?.output()
          .split('\n')
          .find((one) => one.includes(`"callerRequestId":"${id}"`)),
      );
      expect(codes).toContain((JSON.parse(line) as { outcome: string }).outcome);
      // A fault without an alert is not a 5xx either.
      if (codes.length === 1 && codes[0] === 'engine_refused') expect([400, 422]).toContain(outcome.status);
    }
    expect(scripted.stack.gateways[0]?.output()).not.toContain(CANARY);
  },
);

test('N15: a path is logged as its route’s pattern, or shortened; so is the name of a field', async () => {
  const { url } = scripted.stack;
  const long = 'y'.repeat(12_000);
  await (await fetch(`${url}/v1/models/${CANARY}-${long}`)).text();
  await (await fetch(`${url}/openai/deployments/${CANARY}/chat/completions`, { method: 'POST', body: '{}' })).text();
  await (await fetch(`${url}/nothing/${long}`)).text();
  const named = { messages: [{ role: 'user', content: 'hi' }], [`logits_processor_${long}`]: 1, tools: long };
  await call(`${url}/v1/chat/completions`, named, { 'x-request-id': 'last-of-paths' }).ended;
  const log = await eventually('the log line', () => {
    const output = scripted.stack.gateways[0]?.output() ?? '';
    return output.includes('last-of-paths') && output;
  });
  expect(log).not.toContain(CANARY);
  expect(log).not.toContain('y'.repeat(200));
  expect(log).toContain('"path":"/v1/models/*id"');
});
