import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const messages = [{ role: 'user', content: 'hi' }];
const hi = { messages, max_tokens: 1 };

let stack: Stack;
/** A stream that is still running when the gateway is told to stop. */
let running: Response;
beforeAll(async () => {
  stack = await startStack({ workerEnv: { PENSTOCK_SIM_ITL_MS: '50' } });
  running = await post('/v1/chat/completions', { model: MODEL, messages, max_tokens: 100, stream: true });
  stack.gateways[0]?.child.kill('SIGTERM');
  await eventually('the gateway drains', async () => {
    const status = await fetch(`${stack.gateways[0]?.internalUrl ?? ''}/status`);
    return z.object({ stage: z.string() }).parse(await status.json()).stage === 'draining';
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

/** On a connection of its own: fetch opens one while the stream holds the other. */
function post(path: string, body?: object): Promise<Response> {
  const sent = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return fetch(stack.url + path, body === undefined ? {} : sent);
}

const OPENAI = { code: 'shutting_down', type: 'server_error' };
test.each([
  ['/v1/chat/completions', { ...hi, model: MODEL }, OPENAI],
  ['/v1/responses', { input: 'hi', model: MODEL }, OPENAI],
  ['/v1/models', undefined, OPENAI],
  ['/openai/deployments/azureai/chat/completions', hi, OPENAI],
  ['/chat/completions', hi, { code: 'shutting_down', status: 503, details: [] }],
  ['/models/completions', { prompt: 'hi' }, { code: 'shutting_down', status: 503, details: [] }],
  ['/info', undefined, { code: 'shutting_down', status: 503, details: [] }],
  ['/score', { input_data: { input_string: messages } }, OPENAI],
  ['/nothing', undefined, OPENAI],
])('a new connection to a gateway that drains is sent elsewhere, as %s says it', async (path, body, error) => {
  const answer = await post(path, body);
  expect([answer.status, await answer.json()]).toMatchObject([503, { error }]);
  expect([answer.headers.get('retry-after'), answer.headers.get('connection')]).toEqual(['1', 'close']);
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(answer.headers.get('x-ms-error-code')).toBe(/^.(v1|openai|nothing)/.test(path) ? null : OPENAI.code);
});

test('a probe of / is sent elsewhere too', async () => {
  expect((await post('/')).status).toBe(503);
});

test('what ran goes on to its end', async () => {
  const text = await running.text();
  expect(text.split('\n').filter((line) => /"content":"[^"]/.test(line))).toHaveLength(100);
  expect(text.trimEnd().endsWith('data: [DONE]')).toBe(true);
});
