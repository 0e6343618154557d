// @ts-check
import { once } from 'node:events';
import { createServer } from 'node:http';

/**
 * A collector of traces that reads each export and keeps nothing. It runs in the process of the callers, which is not
 * measured.
 * @returns {Promise<{ url: string, exports: () => number, end: () => void }>}
 */
export async function startCollector() {
  let exports = 0;
  const server = createServer((req, res) => {
    req.resume();
    req.once('end', () => {
      exports += 1;
      res.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const end = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}`, exports: () => exports, end };
}
