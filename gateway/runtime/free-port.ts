import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

// Below Linux's range for outgoing connections (32768 to 60999). A free port of that range can become the near end of
// another program's connection before the intended program listens on it.
const FIRST = 12_000;
const COUNT = 9_000;

/** @returns a loopback port on which nothing listens, and which no other call in any process gets before this process ends */
export function freePort(): Promise<number> {
  return freePorts(1);
}

/** @returns the first of `count` consecutive ports, each as `freePort` returns it */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = randomInt(FIRST, FIRST + COUNT - count + 1);
    const claims: Server[] = [];
    for (let port = first; port < first + count; port += 1) {
      const claim = await claimed(port);
      if (claim === undefined) break;
      claims.push(claim);
    }
    if (claims.length === count) return first;
    for (const claim of claims) claim.close();
  }
}

/**
 * Between the choice of a port and the start of its program, another process could choose the same one. So a process with
 * a chosen port listens on the one `COUNT` above it until it ends.
 * @returns undefined if another process has claimed the port, or listens on it
 */
async function claimed(port: number): Promise<Server | undefined> {
  const claim = await listening(port + COUNT);
  if (claim === undefined) return undefined;
  const tried = await listening(port);
  if (tried === undefined) {
    claim.close();
    return undefined;
  }
  tried.close();
  await once(tried, 'close');
  return claim;
}

function listening(port: number): Promise<Server | undefined> {
  // It keeps no process running.
  const server = createServer().unref();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server));
  });
}
