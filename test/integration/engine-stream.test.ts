import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { EngineConnections } from '../../worker-launcher/engine/connections.ts';
import { streamFromEngine, type EngineStream } from '../../worker-launcher/engine/stream.ts';
import { eventually } from '../support/eventually.ts';

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const ANSWER = `${HEAD}2\r\nhi\r\n0\r\n\r\n`;
type Script = (socket: Socket, request: string, connection: number) => void;

/** An engine whose answers a test writes, byte for byte. */
async function startEngine(script: Script) {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    const connection = sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => script(socket, bytes.toString(), connection));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const connections = new EngineConnections({ port: typeof address === 'object' ? (address?.port ?? 0) : 0 });
  return {
    connections,
    sockets,
    server,
    [Symbol.dispose]: () => {
      connections.destroy();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** One request, and what its sink was told. */
function ask(connections: EngineConnections, body = '{}', onData: (stream: EngineStream) => void = () => {}) {
  const seen: string[] = [];
  const request = { path: '/v1/chat/completions', body: Buffer.from(body), requestId: 'r-1' };
  const stream: EngineStream = streamFromEngine(connections, request, {
    head: (status, type) => seen.push(`head ${status} ${type}`),
    data: (chunk) => {
      seen.push(chunk.toString());
      onData(stream);
    },
    end: () => seen.push('end'),
    failed: (cause, hadIt) => seen.push(`failed: ${cause.message}, ${hadIt ? 'had it' : 'never had it'}`),
  });
  const over = () => eventually('over', () => /^(end|failed)/.test(seen.at(-1) ?? ''));
  return { seen, stream, over };
}
const WHOLE = ['head 200 text/event-stream', 'hi', 'end'];

test('requests one after the other use one connection; those at a time have one each', async () => {
  const requests: string[] = [];
  using engine = await startEngine((socket, request) => {
    requests.push(request);
    socket.write(ANSWER);
  });
  for (const body of ['{"a":1}', '{"b":2}']) {
    const one = ask(engine.connections, body);
    await one.over();
    expect(one.seen).toEqual(WHOLE);
  }
  expect(engine.sockets).toHaveLength(1);
  expect(requests[1]).toMatch(/^POST \/v1\/chat\/completions HTTP\/1\.1\r\n/);
  expect(requests[1]).toMatch(/\r\nx-request-id: r-1\r\ncontent-length: 7\r\n\r\n\{"b":2\}$/);
  const both = [ask(engine.connections), ask(engine.connections)];
  await Promise.all(both.map(({ over }) => over()));
  expect(engine.sockets).toHaveLength(2);
});

test('a connection that the engine closed while it was idle costs no request', async () => {
  using engine = await startEngine((socket, _request, connection) => {
    socket.write(ANSWER);
    // The close and the next request cross each other.
    if (connection === 1) socket.once('data', () => socket.resetAndDestroy());
  });
  await ask(engine.connections).over();
  const next = ask(engine.connections);
  await next.over();
  expect(next.seen).toEqual(WHOLE);
});

test('requests that an engine lost together go again, the last one first', async () => {
  const order: string[] = [];
  using engine = await startEngine((socket, request, connection) => {
    const id = request.slice(-1);
    if (connection > 3) {
      order.push(id);
      socket.write(ANSWER);
    } else if (id === '3') for (const one of engine.sockets) one.destroy();
  });
  const all = [];
  for (const body of ['1', '2', '3']) {
    all.push(ask(engine.connections, body));
    await eventually('connected', () => engine.sockets.length >= all.length);
  }
  await Promise.all(all.map(({ over }) => over()));
  expect(order).toHaveLength(3);
  expect(order[0]).toBe('3');
});

test.each<[how: string, script: Script, seen: (string | RegExp)[]]>([
  ['no answer, twice', (socket) => socket.destroy(), [/^failed: .*, had it$/]],
  [
    'half an answer',
    (socket) => socket.end(`${HEAD}2\r\nhi\r\n`),
    [...WHOLE.slice(0, 2), /^failed: the engine closed the connection, had it$/],
  ],
  [
    'a reset in the answer',
    (socket) => socket.write(`${HEAD}2\r\nhi\r\n`, () => setImmediate(() => socket.resetAndDestroy())),
    [...WHOLE.slice(0, 2), /^failed: .*, had it$/],
  ],
  ['bytes that are no answer', (socket) => socket.write('hello\r\n\r\n'), [/^failed: .*status line.*, had it$/]],
  [
    'an answer that the close ends',
    (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nhi'),
    WHOLE,
  ],
])('the engine sends %s', async (_how, script, expected) => {
  using engine = await startEngine(script);
  const { seen, over } = ask(engine.connections);
  await over();
  expect(seen).toEqual(expected.map((one) => (typeof one === 'string' ? one : expect.stringMatching(one))));
});

test('an engine that listens no more never had the request', async () => {
  using engine = await startEngine(() => {});
  engine.server.close();
  await once(engine.server, 'close');
  const { seen, over } = ask(engine.connections);
  await over();
  expect(seen).toEqual([expect.stringMatching(/^failed: .*ECONNREFUSED.*, never had it$/)]);
});

test('an aborted request closes its connection, and its sink hears no more', async () => {
  using engine = await startEngine((socket) => socket.write(`${HEAD}2\r\nhi\r\n2\r\nho\r\n`));
  const { seen } = ask(engine.connections, '{}', (stream) => stream.abort());
  await eventually('closed', () => engine.sockets[0]?.destroyed === true);
  expect(seen).toEqual(['head 200 text/event-stream', 'hiho']);
});

test('a paused answer waits in the engine; it goes on where it stopped', async () => {
  const bytes = 32 * 1024 * 1024;
  const length = `HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\n\r\n`;
  using engine = await startEngine((socket) => socket.write(Buffer.concat([Buffer.from(length), Buffer.alloc(bytes)])));
  let got = 0;
  let isPaused = false;
  const { seen, stream } = ask(engine.connections, '{}', (running) => {
    got += seen.pop()?.length ?? 0;
    if (isPaused || got < 1_000_000) return;
    isPaused = true;
    running.pause();
  });
  await eventually('paused', () => isPaused);
  const before = got;
  await eventually('the engine waits', () => (engine.sockets[0]?.writableLength ?? 0) > 0);
  expect(got).toBe(before);
  stream.resume();
  await eventually('the rest', () => got >= bytes);
});

test('an engine that is replaced fails its requests', async () => {
  using engine = await startEngine((socket) => socket.write(HEAD));
  const running = ask(engine.connections);
  await eventually('begun', () => running.seen.length === 1);
  engine.connections.destroy();
  const late = ask(engine.connections);
  await Promise.all([running.over(), late.over()]);
  for (const { seen } of [running, late]) expect(seen.at(-1)).toMatch(/^failed: the engine was replaced/);
});
