import { randomInt } from 'node:crypto';
import getPort, { portNumbers } from 'get-port';

// Below the range from which Linux takes ports for outgoing connections (32768 to 60999): a port of that range, free
// when it was looked at, can be the near end of another program's connection before the program that it is for listens.
const FIRST = 12_000;
const LAST = 29_999;
/** Programs that look at the same time begin at different places. */
const LAST_BEGIN = 28_000;

/** @returns a loopback port on which nobody listens, and which this process was not given in the last 15 seconds */
export function freePort(): Promise<number> {
  return getPort({ host: '127.0.0.1', port: portNumbers(randomInt(FIRST, LAST_BEGIN), LAST) });
}
