import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { oneByOne } from '../../gateway/http/connection/pipeline.ts';
import { eventually } from '../support/eventually.ts';
import { portOf } from '../support/port-of.ts';
import { rawConnection } from '../support/raw-connection.ts';

let server = createServer();
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function serve(app: RequestListener): Promise<string> {
  server = createServer(oneByOne(app)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${portOf(server)}`;
}
const get = (path: string | number): string => `GET /${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
const many = (count: number): string => Array.from({ length: count }, (_, n) => get(n)).join('');

test('N2: pipelined requests in one piece are answered one after the other, in order', async () => {
  let running = 0;
  let most = 0;
  const url = await serve((req, res) => {
    running += 1;
    most = Math.max(most, running);
    res.once('close', () => (running -= 1));
    setImmediate(() => res.end(`<${req.url ?? ''}>`));
  });
  const connection = await rawConnection(url, many(100));
  await eventually('all answers', () => connection.text().includes('</99>'));
  expect(connection.text().match(/<[^>]*>/g)).toEqual(Array.from({ length: 100 }, (_, n) => `</${n}>`));
  expect(most).toBe(1);
  connection.socket.write(get('later'));
  await eventually('the connection still serves', () => connection.text().includes('</later>'));
  connection.socket.destroy();
});

test('N2: a connection with too many pipelined requests is closed, and none of them runs', async () => {
  const seen: string[] = [];
  const url = await serve((req, res) => {
    seen.push(req.url ?? '');
    setImmediate(() => res.end('x'));
  });
  const connection = await rawConnection(url, many(3_000));
  await connection.closed;
  expect(seen).toEqual(['/0']);
});

test('a pipelined body is read after the requests before it', async () => {
  const url = await serve((req, res) => {
    let text = '';
    req.on('data', (piece) => (text += String(piece)));
    req.on('end', () => res.end(`<${text}>`));
  });
  const post = (body: string): string =>
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const connection = await rawConnection(url, post('one') + get('two') + post('a'.repeat(200_000)));
  await eventually('all answers', () => connection.text().includes('aaa>'));
  expect(
    connection
      .text()
      .match(/<[^>]*>/g)
      ?.map(({ length }) => length),
  ).toEqual([5, 2, 200_002]);
  connection.socket.destroy();
});

test.each([50, 150])('%d requests whose connection closes before their turn are over', async (count) => {
  let [seen, open] = [0, 0];
  const url = await serve(() => {});
  server.on('request', (_req, res) => {
    seen += 1;
    open += 1;
    res.once('close', () => (open -= 1));
  });
  const connection = await rawConnection(url, many(count));
  await eventually('they arrived', () => seen > 0);
  connection.socket.destroy();
  await eventually('none is open', () => open === 0);
});
