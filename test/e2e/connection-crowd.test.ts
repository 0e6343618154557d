import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { either } from '../support/full-length.ts';
import { rawConnection, type RawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

const COUNT = either(5_000, 1_000);
/** The gateway's defaults, or a tenth. */
const [HEAD_MS, BODY_MS] = [either(15_000, 1_500), either(60_000, 6_000)];
/** All are closed within this time. */
const LATE_MS = 10_000;
const CHAT = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 };
const BEGINNINGS = [
  '',
  'GET / HT',
  'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-a: ',
  'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n{',
  'POST /score HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{',
  'GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nhost: loc',
];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gatewayEnv: { GATEWAY_HEAD_TIMEOUT_MS: String(HEAD_MS), GATEWAY_BODY_TIMEOUT_MS: String(BODY_MS) },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

test('N5: connections that never finish are all closed at their timeout, while honest requests are served', async () => {
  const crowd: RawConnection[] = [];
  const closedAt: number[] = [];
  while (crowd.length < COUNT) {
    const openedAt = performance.now();
    const connection = await rawConnection(stack.url, BEGINNINGS[crowd.length % BEGINNINGS.length]);
    void connection.closed.then(() => closedAt.push(performance.now() - openedAt));
    crowd.push(connection);
  }
  // Each sends a byte from time to time, so that it does not count as idle.
  const drip = setInterval(() => {
    for (const connection of crowd)
      if (!connection.isClosed() && connection.socket.writable) connection.socket.write('x');
  }, HEAD_MS / 3);
  const took: number[] = [];
  try {
    await eventually(
      'all are closed',
      async () => {
        const { status, tookMs } = await call(`${stack.url}/v1/chat/completions`, CHAT).ended;
        expect(status).toBe(200);
        took.push(tookMs);
        return closedAt.length === COUNT;
      },
      BODY_MS + LATE_MS,
    );
  } finally {
    clearInterval(drip);
    for (const { socket } of crowd) socket.destroy();
  }
  const last = Math.max(...closedAt);
  took.sort((a, b) => a - b);
  const descriptors = readFileSync(`/proc/${stack.gateways[0]?.child.pid}/status`, 'utf8');
  const rss = /VmRSS:\s+(\d+)/.exec(descriptors)?.[1] ?? '';
  process.stdout.write(
    `${COUNT} connections: the last closed after ${Math.round(last / 1_000)} s; ${took.length} honest requests, ` +
      `median ${Math.round(took[Math.floor(took.length / 2)] ?? 0)} ms, longest ${Math.round(took.at(-1) ?? 0)} ms; RSS ${rss} kB\n`,
  );
  expect(last).toBeLessThan(BODY_MS + LATE_MS);
}, 120_000);
