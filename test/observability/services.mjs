// @ts-check
import { once } from 'node:events';
import { createServer } from 'node:http';
import { z } from 'zod';

/** Words of a prompt that the content filter blocks, and words on which it fails. */
export const BLOCKED = 'a blocked word';
export const UNJUDGED = 'a word without a verdict';

const Check = z.object({ texts: z.array(z.string()) });

/**
 * What a gateway asks and tells beside its callers: a content filter, and a receiver of webhook events.
 * @returns {Promise<{ filterUrl: string, receiverUrl: string, stop: () => void }>}
 */
export async function startServices() {
  const server = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (text) => (body += text));
    req.on('end', () => {
      if (req.url !== '/filter') return res.writeHead(204).end();
      const text = Check.parse(JSON.parse(body)).texts.join(' ');
      const status = text.includes(UNJUDGED) ? 500 : 200;
      const verdict = JSON.stringify({ blocked: text.includes(BLOCKED) });
      return res.writeHead(status, { 'content-type': 'application/json' }).end(verdict);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { filterUrl: `${url}/filter`, receiverUrl: `${url}/events`, stop };
}
