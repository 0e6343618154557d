import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { lasts } from '../support/full-length.ts';
import { cutUnread } from '../../gateway/http/connection/unread-answer.ts';

test('N5: a client that sends requests and reads no answer loses its connection', async () => {
  const server = createServer((_req, res) => {
    cutUnread(res, () => 300);
    res.end('x'.repeat(100_000));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const opened = once(server, 'connection');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {});
  const [socket] = (await opened) as [Socket];
  const cut = once(socket, 'close');
  client.pause();
  client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(500));
  await cut;
  expect(socket.bytesWritten).toBeLessThan(500 * 100_000);
  client.destroy();
  server.close();
});

test('N5: an answer that is read keeps its connection', async () => {
  const server = createServer((_req, res) => {
    cutUnread(res, () => 50);
    res.end('x');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const ask = async (): Promise<void> => {
    client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await once(client, 'data');
  };
  await ask();
  await lasts(150);
  await ask();
  client.destroy();
  server.close();
});
