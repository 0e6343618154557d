import { randomInt } from 'node:crypto';
import getPort, { portNumbers } from 'get-port';

// Below Linux's range for outgoing connections (32768 to 60999). A free port of that range can become the near end of
// another program's connection before the intended program listens on it.
const FIRST = 12_000;
const LAST = 29_999;
/** Programs that look for a port at the same time begin at different numbers. */
const LAST_BEGIN = 28_000;

/** @returns a loopback port on which no process listens, and which this process was not given in the last 15 seconds */
export function freePort(): Promise<number> {
  return getPort({ host: '127.0.0.1', port: portNumbers(randomInt(FIRST, LAST_BEGIN), LAST) });
}
