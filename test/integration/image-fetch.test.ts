import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import type { ChatRequest } from '../../gateway/request/chat.ts';
import { createImageResolver } from '../../gateway/request/resolve-images.ts';
import { chatRequest } from '../support/chat-request.ts';
import { dataUri, png } from '../support/pictures.ts';
import { resolvePictures } from '../support/resolved.ts';

const PARAM = 'input_data.input_string[0].content[0].image_url.url';
const never = new AbortController().signal;

async function startServer(listener: RequestListener) {
  const server = createServer(listener);
  let hits = 0;
  server.on('request', () => (hits += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    at: (path: string, host = '127.0.0.1') => `http://${host}:${port}${path}`,
    hits: () => hits,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function withUrl(url: string): ChatRequest {
  return chatRequest({
    messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
    maxTokensParam: 'input_data.parameters.max_new_tokens',
    messagesParam: 'input_data.input_string',
  });
}
const limits = { timeoutMs: 5_000, limitBytes: 100_000, limitPixels: 25_000_000 };
const local = createImageResolver({ ...limits, allow: ['127.0.0.1'] });
const strict = createImageResolver({ ...limits, allow: [] });

test('a picture behind a URL arrives as a data URI, its type taken from its bytes', async () => {
  const picture = png(8, 6);
  await using server = await startServer((_req, res) => {
    res.writeHead(200, { 'content-type': 'text/html' }).end(picture);
  });
  const { request, images } = await resolvePictures(local, withUrl(server.at('/a.jpg')), never);
  expect(images).toEqual([{ param: PARAM, type: 'png', width: 8, height: 6, bytes: picture.length }]);
  expect(request).toEqual(withUrl(dataUri(picture)));
  const byName = createImageResolver({ ...limits, allow: ['localhost'] });
  expect(await resolvePictures(byName, withUrl(server.at('/a.jpg', 'localhost')), never)).toEqual({ request, images });
});

test('addresses that are not public are refused without a connection, as addresses and as names', async () => {
  await using server = await startServer((_req, res) => res.end(png(1, 1)));
  for (const host of ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '2130706433']) {
    const failure = resolvePictures(strict, withUrl(server.at('/secret-path?sig=CANARY', host)), never);
    await expect(failure).rejects.toMatchObject({ code: 'image_fetch_failed', status: 400, options: { param: PARAM } });
    await expect(failure).rejects.toThrow('Pictures are fetched from public addresses');
    await expect(failure).rejects.not.toThrow('CANARY');
  }
  expect(server.hits()).toBe(0);
});

test('a redirect is followed, but not to an address that is refused', async () => {
  await using server = await startServer((req, res) => {
    const to: Record<string, string> = {
      '/moved': '/final',
      '/inside': server.at('/final', '127.0.0.2'),
      '/metadata': 'http://169.254.169.254/metadata/instance',
      '/file': 'file:///etc/passwd',
      '/data': dataUri(png(1, 1)),
      '/loop': '/loop',
    };
    const location = to[req.url ?? ''];
    if (location === undefined) res.end(png(2, 2));
    else res.writeHead(302, { location }).end('moved');
  });
  const get = (path: string) => resolvePictures(local, withUrl(server.at(path)), never);
  expect((await get('/moved')).images[0]?.width).toBe(2);
  for (const path of ['/metadata', '/inside', '/file', '/data'])
    await expect(get(path)).rejects.toMatchObject({ code: 'image_fetch_failed' });
  const before = server.hits();
  await expect(get('/loop')).rejects.toMatchObject({ code: 'image_fetch_failed' });
  expect(server.hits() - before).toBe(21);
});

test('N11: an error answer is reported without its status and URL', async () => {
  await using server = await startServer((_req, res) => res.writeHead(404).end('no'));
  const failure = resolvePictures(local, withUrl(server.at('/private/CANARY.png')), never);
  await expect(failure).rejects.toMatchObject({
    code: 'image_fetch_failed',
    message: expect.not.stringMatching(/404|CANARY|127/),
  });
});

test('a page instead of a picture is an invalid image', async () => {
  await using server = await startServer((_req, res) => {
    res.writeHead(200, { 'content-type': 'image/png' }).end('<!doctype html>');
  });
  await expect(resolvePictures(local, withUrl(server.at('/a.png')), never)).rejects.toMatchObject({
    code: 'invalid_image',
  });
});

test('a picture over the limit is cut off, with or without an announced length', async () => {
  const big = Buffer.concat([png(4, 4), Buffer.alloc(100_000)]);
  await using server = await startServer((req, res) => {
    if (req.url === '/announced') res.end(big);
    else res.write(big);
  });
  for (const path of ['/announced', '/endless'])
    await expect(resolvePictures(local, withUrl(server.at(path)), never)).rejects.toMatchObject({
      code: 'image_too_large',
      status: 413,
    });
});

test('a host that is silent, before or during its answer, is given up in time', async () => {
  const hasty = createImageResolver({
    allow: ['127.0.0.1'],
    timeoutMs: 150,
    limitBytes: 100_000,
    limitPixels: 25_000_000,
  });
  await using server = await startServer((req, res) => {
    if (req.url === '/half') res.write(png(1, 1).subarray(0, 10));
  });
  for (const path of ['/never', '/half']) {
    const failure = resolvePictures(hasty, withUrl(server.at(path)), never);
    await expect(failure).rejects.toMatchObject({ code: 'image_fetch_failed' });
    await expect(failure).rejects.toThrow('within 150 ms');
  }
});

test('a refused or broken connection is the picture’s fault, not the gateway’s', async () => {
  const closed = await startServer((_req, res) => res.end());
  const url = closed.at('/a.png');
  await closed[Symbol.asyncDispose]();
  await expect(resolvePictures(local, withUrl(url), never)).rejects.toMatchObject({ code: 'image_fetch_failed' });
  await using server = await startServer((_req, res) => res.socket?.destroy());
  await expect(resolvePictures(local, withUrl(server.at('/a.png')), never)).rejects.toMatchObject({
    code: 'image_fetch_failed',
  });
});

test('a caller who leaves ends the fetch immediately, and the host sees it', async () => {
  const caller = new AbortController();
  const gone = new Error('gone');
  const host = new EventEmitter();
  const hostSeesIt = once(host, 'close');
  await using server = await startServer((_req, res) => {
    res.on('close', () => host.emit('close'));
    caller.abort(gone);
  });
  await expect(resolvePictures(local, withUrl(server.at('/slow')), caller.signal)).rejects.toBe(gone);
  await hostSeesIt;
});

test.each(['file:///etc/passwd', 'ftp://example.org/a.png', 'http://user:CANARY@127.0.0.1/a.png'])(
  '%s is refused',
  async (url) => {
    const failure = resolvePictures(local, withUrl(url), never);
    await expect(failure).rejects.toMatchObject({ code: 'image_refused', options: { param: PARAM } });
    await expect(failure).rejects.not.toThrow('CANARY');
  },
);

test('if one of two pictures is bad, the request fails without waiting for the other', async () => {
  await using server = await startServer(() => undefined);
  const two = {
    ...withUrl(''),
    messages: [
      {
        role: 'user' as const,
        content: [server.at('/never'), 'data:image/png;base64,@@@@'].map((url) => ({
          type: 'image_url' as const,
          image_url: { url },
        })),
      },
    ],
  };
  await expect(resolvePictures(local, two, never)).rejects.toMatchObject({ code: 'invalid_image' });
});
