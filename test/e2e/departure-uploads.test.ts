import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ALL } from '../bad-requests/route.ts';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { bodyOf, headerOf, rawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workerEnv: { PENSTOCK_SIM_ITL_MS: '100' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

test('B2: stalled uploads and heads do not delay a gateway’s drain; complete requests are served to the end', async () => {
  const gateway = stack.gateways[0];
  const exited = once(gateway?.child ?? process, 'exit');
  const stalled = await Promise.all(
    ALL.map(async ({ path }) => ({
      path,
      connection: await rawConnection(
        stack.url,
        `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{`,
      ),
    })),
  );
  const others = await Promise.all(
    ['', 'GET / HT', 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'].map((first) => rawConnection(stack.url, first)),
  );
  // Longer than the grace of an upload.
  const body = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 60, stream: true };
  const running = call(`${stack.url}/v1/chat/completions`, body);
  await eventually(
    'all of them have arrived',
    async () => (await stack.metric('penstock_requests_in_flight')) === ALL.length + 1,
  );
  await eventually('an engine works', async () => (await stack.status()).openRequests === 1);
  const leftAt = performance.now();
  gateway?.child.kill('SIGTERM');
  for (const { path, connection } of stalled) {
    await connection.closed;
    expect([path, connection.status(), headerOf(connection.text(), 'connection')]).toEqual([path, 503, 'close']);
    expect([path, headerOf(connection.text(), 'retry-after')]).toEqual([path, '1']);
    expect(bodyOf(connection.text())).toMatchObject({ error: { code: 'shutting_down' } });
  }
  const { status, isWhole, body: text } = await running.ended;
  expect({ status, isWhole, done: text.endsWith('data: [DONE]\n\n') }).toEqual({
    status: 200,
    isWhole: true,
    done: true,
  });
  expect(await exited).toEqual([0, null]);
  expect(performance.now() - leftAt).toBeLessThan(30_000);
  await Promise.all(others.map(({ closed }) => closed));
}, 60_000);
