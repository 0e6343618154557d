import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { expect, test } from '@jest/globals';
import express from 'express';
import { HttpClientStream } from '../../gateway/http/client-stream.ts';

const PIECES = ['data: one\n\n', 'data: zwölf 🎉\n\n', `data: ${'x'.repeat(70_000)}\n\n`];

/** Lets a client ask for one stream and a page after it, on one connection. @returns all bytes that it read */
async function read(version: '1.0' | '1.1', pieces: readonly (Buffer | string)[]): Promise<string> {
  const app = express();
  app.get('/stream', (_req, res) => {
    const client = new HttpClientStream(res);
    for (const piece of pieces) client.write(piece);
    client.end();
  });
  app.get('/page', (_req, res) => void res.set('connection', 'close').send('the page'));
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const socket = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1');
  const read: Buffer[] = [];
  socket.on('data', (bytes) => read.push(bytes));
  socket.write(['stream', 'page'].map((name) => `GET /${name} HTTP/${version}\r\nhost: a\r\n\r\n`).join(''));
  await once(socket, 'close');
  server.close();
  return Buffer.concat(read).toString();
}

test.each([
  ['text', PIECES],
  ['bytes', PIECES.map((piece) => Buffer.from(piece))],
])('a client of HTTP 1.1 gets each piece as one chunk, then the next answer: %s', async (_form, pieces) => {
  const chunks = PIECES.map((piece) => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`);
  const [head = '', ...rest] = (await read('1.1', pieces)).split('\r\n\r\n');
  expect(head.toLowerCase()).toContain('transfer-encoding: chunked');
  const body = rest.join('\r\n\r\n');
  expect(body.startsWith(`${chunks.join('')}0\r\n\r\nHTTP/1.1 200 OK`)).toBe(true);
  expect(body.endsWith('the page')).toBe(true);
});

test('a client of HTTP 1.0 gets the bytes alone', async () => {
  const answer = await read('1.0', PIECES);
  expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toBe(PIECES.join(''));
});
