// @ts-check
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range from which Linux takes ports for outgoing connections (32768 to 60999): a port of that range, free
// when it was looked at, can be the near end of another program's connection before the program that it is for listens.
const FIRST = 12_000;
const END = 30_000;

/** Never given out twice by one process: several are asked for before the first is in use. @type {Set<number>} */
const given = new Set();

/** @returns {Promise<number>} a loopback port on which nobody listens */
export async function freePort() {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (!given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
  }
}

/** @param {number} port */
async function isFree(port) {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
