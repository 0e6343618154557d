import { once } from 'node:events';
import { createServer } from 'node:http';
import { png } from '../support/pictures.ts';

/** Serves pictures with every fault that a URL can have; only `/picture.png` is correct. */
export async function startPictureServer(): Promise<AsyncDisposable & { readonly url: string }> {
  const picture = png(64, 48);
  const server = createServer((req, res) => {
    res.setHeader('content-type', 'image/png');
    switch (req.url) {
      case '/picture.png':
        res.end(picture);
        return;
      case '/broken':
        res.writeHead(500).end();
        return;
      case '/page':
        res.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
        return;
      case '/large':
        res.writeHead(200, { 'content-length': '99000000' }).write(picture);
        return;
      case '/endless':
        for (let i = 0; i < 10; i += 1) res.write(Buffer.alloc(100_000, 1));
        return;
      case '/never':
        return;
      case '/loop':
        res.writeHead(302, { location: '/loop' }).end();
        return;
      case '/inside':
        res.writeHead(302, { location: 'http://192.168.0.1/picture.png' }).end();
        return;
      case '/cut':
        res
          .writeHead(200, { 'content-length': String(picture.length) })
          .write(picture.subarray(0, 40), () => res.destroy());
        return;
      case '/half':
        res.end(picture.subarray(0, -30));
        return;
      default:
        res.writeHead(404).end('not here');
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
