import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { lasts } from '../support/full-length.ts';
import { bodyOf, rawConnection, type RawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

const CHAT = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 };
const HALF = 'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{';
const WHOLE = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';
const PER_ADDRESS = 20;
const ALL = 60;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gatewayEnv: { GATEWAY_CONNECTIONS: String(ALL), GATEWAY_CONNECTIONS_PER_ADDRESS: String(PER_ADDRESS) },
    workerEnv: { PENSTOCK_SIM_ITL_MS: '50' },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

async function open(count: number, first: (i: number) => string): Promise<RawConnection[]> {
  const opened: RawConnection[] = [];
  for (let i = 0; i < count; i += 1) opened.push(await rawConnection(stack.url, first(i)));
  return opened;
}
const leave = (connections: readonly RawConnection[]): void => {
  for (const { socket } of connections) socket.destroy();
};
const areOpen = (connections: readonly RawConnection[]): number =>
  connections.filter((connection) => !connection.isClosed()).length;

test('N5: above the limit of incomplete requests per address, the oldest are closed with a reason, and others are served', async () => {
  const first = await open(10, (i) => ['', 'GET / HT', HALF][i % 3] ?? '');
  await eventually(
    'the first ones are no longer young',
    async () => (await call(`${stack.url}/v1/chat/completions`, CHAT).ended).status === 200,
  );
  const rest = await open(PER_ADDRESS, (i) => ['', 'GET / HT', HALF][i % 3] ?? '');
  await eventually('the oldest are closed', () => areOpen([...first, ...rest]) <= PER_ADDRESS);
  expect([areOpen(first), areOpen(rest)]).toEqual([0, PER_ADDRESS]);
  for (const connection of first) {
    expect(connection.status()).toBe(503);
    expect(bodyOf(connection.text())).toMatchObject({ error: { code: 'overloaded' } });
  }
  expect((await call(`${stack.url}/v1/chat/completions`, CHAT).ended).status).toBe(200);
  leave(rest);
});

test('N5: complete requests and idle connections of an address do not count', async () => {
  const idle = await open(PER_ADDRESS + 5, () => WHOLE);
  const long = { ...CHAT, max_tokens: 60, stream: true };
  const running = Array.from({ length: PER_ADDRESS + 5 }, () => call(`${stack.url}/v1/chat/completions`, long));
  await eventually('they run', async () => (await stack.status()).openRequests >= PER_ADDRESS);
  const halves = await open(3, () => HALF);
  for (const { ended } of running) expect(await ended).toMatchObject({ status: 200, isWhole: true });
  expect([areOpen(idle), areOpen(halves)]).toEqual([PER_ADDRESS + 5, 3]);
  leave([...idle, ...halves]);
});

test('N5: at the connection limit the oldest idle connection is closed, and the new one is served', async () => {
  const idle = await open(ALL, () => WHOLE);
  for (let i = 0; i < 5; i += 1) expect((await call(`${stack.url}/v1/chat/completions`, CHAT).ended).status).toBe(200);
  await eventually('the oldest idle one is closed', () => idle[0]?.isClosed());
  expect(idle.at(-1)?.isClosed()).toBe(false);
  leave(idle);
});

test('B1: the time of a request runs from its first byte', async () => {
  const begin = `GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-request-id: slow-head\r\n`;
  const connection = await rawConnection(stack.url, begin);
  // Longer than the interval of the connection check.
  await lasts(2_500);
  connection.socket.write('\r\n');
  await eventually('the answer', () => connection.status() === 200);
  connection.socket.destroy();
  const line = await eventually('the log line', () =>
    stack.gateways[0]
      ?.output()
      .split('\n')
      .find((one) => one.includes('"callerRequestId":"slow-head"')),
  );
  expect((JSON.parse(line) as { totalMs: number }).totalMs).toBeGreaterThan(1_000);
});
