import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { bodyOf, headerOf, rawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const messages = [{ role: 'user', content: 'hi' }];
const hi = { messages, max_tokens: 1 };
/** Runs until its client leaves or the test ends it. */
const lasting = { messages, max_tokens: 4_000, ignore_eos: true, stream: true };
type Gateway = Stack['gateways'][number];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workerEnv: { PENSTOCK_SIM_ITL_MS: '50' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

async function leaves({ child, internalUrl }: Gateway): Promise<void> {
  child.kill('SIGTERM');
  await eventually('the gateway drains', async () => {
    const status = await fetch(`${internalUrl}/status`);
    return z.object({ stage: z.string() }).parse(await status.json()).stage !== 'serving';
  });
}

function requestOf(path: string, body: object | undefined): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const lines = [`${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`, 'host: localhost'];
  if (body !== undefined) lines.push('content-type: application/json', `content-length: ${text.length}`);
  return `${lines.join('\r\n')}\r\n\r\n${text}`;
}

const OPENAI = { code: 'shutting_down', type: 'server_error' };
const INFERENCE = { code: 'shutting_down', status: 503, details: [] };
const ROUTES = [
  ['/v1/chat/completions', { ...hi, model: MODEL }, OPENAI],
  ['/v1/responses', { input: 'hi', max_output_tokens: 1, model: MODEL }, OPENAI],
  ['/v1/models', undefined, OPENAI],
  ['/openai/deployments/azureai/chat/completions', hi, OPENAI],
  ['/chat/completions', hi, INFERENCE],
  ['/models/completions', { prompt: 'hi', max_tokens: 1 }, INFERENCE],
  ['/info', undefined, INFERENCE],
  ['/score', { input_data: { input_string: messages, parameters: { max_new_tokens: 1 } } }, OPENAI],
  ['/nothing', undefined, OPENAI],
  ['/', undefined, undefined],
] as const;

test('H7: a draining gateway serves new requests as usual, on every route, and closes their connections', async () => {
  const gateway = await stack.startGateway({});
  const exited = once(gateway.child, 'exit');
  const running = call(`${gateway.url}/v1/chat/completions`, lasting);
  await running.begun;
  const [kept, silent] = [
    await rawConnection(gateway.url, requestOf('/', undefined)),
    await rawConnection(gateway.url),
  ];
  await eventually('an answer on a kept connection', () => kept.text().includes('healthy'));
  await leaves(gateway);
  for (const [path, body] of ROUTES) {
    const undisturbed = await rawConnection(stack.url, requestOf(path, body));
    await eventually(`${path} answers`, () => undisturbed.status() > 0);
    undisturbed.socket.destroy();
    const late = await rawConnection(gateway.url, requestOf(path, body));
    await late.closed;
    expect([path, late.status()]).toEqual([path, undisturbed.status()]);
    expect([path, headerOf(late.text(), 'connection')]).toEqual([path, 'close']);
  }
  for (const connection of [kept, silent]) {
    connection.socket.write(requestOf('/v1/chat/completions', hi));
    await connection.closed;
    expect(headerOf(connection.text(), 'connection')).toBe('close');
    expect(bodyOf(connection.text())).toMatchObject({ object: 'chat.completion' });
  }
  running.leave('close');
  expect(await exited).toEqual([0, null]);
}, 60_000);

test('H7: connections that wait in the kernel when a gateway gets SIGTERM are served', async () => {
  const gateway = await stack.startGateway({});
  const exited = once(gateway.child, 'exit');
  gateway.child.kill('SIGSTOP');
  await eventually('the gateway is stopped', () => / T /.test(readFileSync(`/proc/${gateway.child.pid}/stat`, 'utf8')));
  gateway.child.kill('SIGTERM');
  const waiting = await Promise.all(
    Array.from({ length: 30 }, () => rawConnection(gateway.url, requestOf('/v1/chat/completions', hi))),
  );
  gateway.child.kill('SIGCONT');
  await Promise.all(waiting.map(({ closed }) => closed));
  expect(waiting.map((one) => [one.wasReset(), one.status(), headerOf(one.text(), 'connection')])).toEqual(
    waiting.map(() => [false, 200, 'close']),
  );
  expect(await exited).toEqual([0, null]);
}, 60_000);

test('at the drain timeout, running streams end with an error event, and later requests get a refusal in their API’s form', async () => {
  const gateway = await stack.startGateway({ GATEWAY_DRAIN_TIMEOUT_MS: '500' });
  const exited = once(gateway.child, 'exit');
  // Pipelined, so that each is next when the stream before it ends.
  const clients = await Promise.all(
    ROUTES.map(([path, body]) =>
      rawConnection(gateway.url, requestOf('/v1/chat/completions', lasting) + requestOf(path, body)),
    ),
  );
  await eventually('all streams run', () => clients.every(({ text }) => text().includes('data: ')));
  gateway.child.kill('SIGTERM');
  await Promise.all(clients.map(({ closed }) => closed));
  for (const [index, [path, , error]] of ROUTES.entries()) {
    const text = clients[index]?.text() ?? '';
    const header = (name: string): string | undefined => headerOf(text, name);
    expect(text.split('HTTP/1.1 503 ')[0]).toContain('data: {"error":{');
    expect([path, text.split('HTTP/1.1 ')[2]?.slice(0, 3)]).toEqual([path, '503']);
    expect([path, header('retry-after'), header('connection')]).toEqual([path, '1', 'close']);
    if (error === undefined) continue;
    expect([path, bodyOf(text)]).toMatchObject([path, { error }]);
    expect(header('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect([path, header('x-ms-error-code')]).toEqual([
      path,
      /^.(v1|openai|nothing)/.test(path) ? undefined : OPENAI.code,
    ]);
  }
  expect(await exited).toEqual([0, null]);
}, 60_000);
