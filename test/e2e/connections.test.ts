import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EVERY } from '../bad-requests/route.ts';
import { eventually } from '../support/eventually.ts';
import { bodyOf, headerOf, rawConnection, type RawConnection } from '../support/raw-connection.ts';
import { startStack, type Stack } from '../support/stack.ts';

const HEAD_MS = 1_500;
const BODY_MS = 3_000;
/** Tolerance for a late check on a busy machine. */
const LATE_MS = 6_000;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    workerEnv: { PENSTOCK_SIM_ITL_MS: '50' },
    gatewayEnv: { GATEWAY_HEAD_TIMEOUT_MS: String(HEAD_MS), GATEWAY_BODY_TIMEOUT_MS: String(BODY_MS) },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const HEAD = 'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
const WHOLE = 'GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n';

/** Sends the same bytes each quarter of a second, to the end of the connection. */
function drip(connection: RawConnection, bytes: string): void {
  const timer = setInterval(() => {
    if (!connection.isClosed() && connection.socket.writable) connection.socket.write(bytes);
  }, 250);
  void connection.closed.then(() => clearInterval(timer));
}

/** @returns how long a connection lasted, in milliseconds */
async function lifeOf(connection: RawConnection): Promise<number> {
  const startedAt = performance.now();
  const limit = BODY_MS + LATE_MS;
  await eventually(`the connection closes; received: ${connection.text()}`, connection.isClosed, limit);
  return performance.now() - startedAt;
}

const UNFINISHED: readonly (readonly [what: string, first: string, then: string, statuses: readonly number[]])[] = [
  ['a silent connection', '', '', [408]],
  ['empty lines without end', '\r\n', '\r\n', [408]],
  ['a request line of one byte at a time', 'GET /', 'x', [408]],
  ['a head that stalls', 'GET / HTTP/1.1\r\nhost: loc', '', [408]],
  ['a head without end', 'GET / HTTP/1.1\r\nhost: localhost\r\nx: ', 'x', [408]],
  ['a finished request, then half of one', `${WHOLE}GET / HT`, '', [200, 408]],
  ['a finished request, then a head of one byte at a time', `${WHOLE}GET / HTTP/1.1\r\nx: `, 'x', [200, 408]],
  ['a finished request, then empty lines without end', WHOLE, '\r\n', [200, 408]],
  ['a body that stalls', `${HEAD}content-length: 100\r\n\r\n{`, '', [408]],
  ['a body of one byte at a time', `${HEAD}content-length: 100\r\n\r\n{`, ' ', [408]],
  ['a chunk that stalls', `${HEAD}transfer-encoding: chunked\r\n\r\n64\r\n{`, '', [408]],
  ['chunks without end', `${HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{\r\n`, '1\r\n \r\n', [408]],
  ['trailers without end', `${HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n`, 'a: b\r\n', [408]],
  ['a body for an unknown route', `POST /no HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n`, '', [403, 404]],
];

test.each(UNFINISHED)(
  'N5, B1: %s: closed in time, on both ports, with an answer if possible',
  async (_what, first, then, said) => {
    const { url, internalUrl } = stack.gateways[0] ?? { url: '', internalUrl: '' };
    const both = await Promise.all([url, internalUrl].map((port) => rawConnection(port, first)));
    if (then !== '') for (const connection of both) drip(connection, then);
    await Promise.all(both.map(lifeOf));
    const [open] = both;
    const statuses = [...(open?.text() ?? '').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    expect(said).toEqual(expect.arrayContaining(statuses));
    expect(statuses.length).toBeGreaterThan(0);
    expect(headerOf(open?.text() ?? '', 'connection')).toBe('close');
    if (statuses.at(-1) === 408)
      expect(bodyOf(open?.text() ?? '')).toMatchObject({ error: { code: 'request_timeout' } });
  },
);

test('B1: a stalled body is 408 in each API’s form, with ids and a log line', async () => {
  const both = await Promise.all(
    EVERY.map(async ({ path, shape }) => {
      const id = `stalls-${path.replace(/\W/g, '')}`;
      const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\nx-request-id: ${id}\r\ncontent-length: 9\r\n\r\n{`;
      return { shape, id, connection: await rawConnection(stack.url, head) };
    }),
  );
  await Promise.all(both.map(({ connection }) => lifeOf(connection)));
  for (const { shape, id, connection } of both) {
    const text = connection.text();
    expect([shape, connection.status(), headerOf(text, 'x-request-id')]).toEqual([shape, 408, id]);
    expect(bodyOf(text)).toMatchObject({ error: { code: 'request_timeout' } });
    expect([shape, headerOf(text, 'x-ms-error-code')]).toEqual([
      shape,
      shape === 'azure_score' || shape === 'azure_inference' ? 'request_timeout' : undefined,
    ]);
    const line = await eventually('the log line', () =>
      stack.gateways[0]
        ?.output()
        .split('\n')
        .find((one) => one.includes(`"callerRequestId":"${id}"`)),
    );
    expect(JSON.parse(line)).toMatchObject({ status: 408, outcome: 'request_timeout' });
  }
});

test('N5: half of a second request closes the connection after the complete answer to the first', async () => {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 80, stream: true });
  const first = `${HEAD}content-length: ${body.length}\r\n\r\n${body}`;
  const connection = await rawConnection(stack.url, `${first}GET / HTTP/1.1\r\nhost: loc`);
  await lifeOf(connection);
  expect(connection.status()).toBe(200);
  expect(connection.text()).toContain('data: [DONE]');
});
