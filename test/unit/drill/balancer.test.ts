import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { startBalancer } from '../../drill/tcp-proxy.mjs';
import { portOf } from '../../support/port-of.ts';

const running: Server[] = [];
afterEach(() => {
  for (const server of running.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(handler: Parameters<typeof createServer>[1]): Promise<number> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  running.push(server);
  return portOf(server);
}

/** A gateway behind the balancer; it answers the given number of health checks, then hangs. */
async function gateway(name: string, looks = Infinity) {
  let looked = 0;
  const internal = await serve((_req, res) => {
    looked += 1;
    if (looked <= looks) res.end('ready');
  });
  const port = await serve((_req, res) => void res.end(name));
  return { port, internalUrl: `http://127.0.0.1:${internal}`, ended: () => false, looked: () => looked };
}
const ask = async (port: number): Promise<string> =>
  (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text();

test('H8: a gateway too busy to answer the balancer keeps its share; without a timeout the balancer waits', async () => {
  const busy = await gateway('busy', 1);
  const balancer = await startBalancer(() => [busy]);
  while (busy.looked() < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(await Promise.all(Array.from({ length: 20 }, () => ask(balancer.port)))).toEqual(Array(20).fill('busy'));
  for (const server of running) server.closeAllConnections();
  busy.ended = () => true;
  await balancer.stop();
});

test('H8: a connection to a closed port goes to another gateway, and waits while no gateway listens', async () => {
  const [leaves, stays] = [await gateway('leaves', 1), await gateway('stays')];
  const balancer = await startBalancer(() => [leaves, stays]);
  const closing = running.find((server) => portOf(server) === leaves.port);
  closing?.close();
  expect(await Promise.all(Array.from({ length: 20 }, () => ask(balancer.port)))).toEqual(Array(20).fill('stays'));
  for (const server of running) server.closeAllConnections();
  for (const one of [leaves, stays]) one.ended = () => true;
  await balancer.stop();
});
