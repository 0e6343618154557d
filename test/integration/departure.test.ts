import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Departure } from '../../gateway/http/departure.ts';
import { portOf } from '../support/port-of.ts';
import { rawConnection } from '../support/raw-connection.ts';

const REQUEST = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';

/** clock of the departure only; the test advances it */
let now: number;
let server: Server;
let departure: Departure;
let answer: (res: ServerResponse) => void;
beforeEach(async () => {
  now = 0;
  answer = (res) => res.setHeader('connection', 'close').end('answered');
  server = createServer((_req, res) => answer(res)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  departure = new Departure(() => now);
  departure.watch(server);
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** @returns whether it has ended, after several of its checks */
function leave(
  delayMs: number,
  limitMs = 600_000,
): { run: Promise<void>; ends: () => Promise<boolean>; told: string[] } {
  const told: string[] = [];
  let isOver = false;
  const uploads = { count: 0, refuseOlderThan: () => {} };
  const run = departure
    .run({ server, delayMs, limitMs, uploads, endAnswers: () => void told.push(departure.stage) })
    .then(() => {
      isOver = true;
    });
  const ends = async (): Promise<boolean> => {
    for (let looks = 0; looks < 12 && !isOver; looks += 1) await new Promise((resolve) => setTimeout(resolve, 25));
    return isOver;
  };
  return { run, ends, told };
}

async function ask(): Promise<string> {
  const connection = await rawConnection(`http://127.0.0.1:${portOf(server)}`, REQUEST);
  await connection.closed;
  return connection.text();
}

test('H7: after its delay a gateway serves until no request has arrived for a second', async () => {
  const { run, ends } = leave(5_000);
  now = 4_999;
  expect(await ends()).toBe(false);
  for (now of [5_900, 6_800, 7_700, 8_600]) {
    expect(await ask()).toContain('answered');
    expect(await ends()).toBe(false);
  }
  now = 9_599;
  expect(await ends()).toBe(false);
  now = 9_600;
  await run;
  expect(server.listening).toBe(false);
});

test('H7: a connection without a request stays open for a time after the gateway stopped listening', async () => {
  const connection = await rawConnection(`http://127.0.0.1:${portOf(server)}`);
  const { run, ends } = leave(1_000);
  now = 1_500;
  expect(await ends()).toBe(false);
  expect(server.listening).toBe(false);
  connection.socket.write(REQUEST);
  await connection.closed;
  expect(connection.text()).toContain('answered');
  now = 3_500;
  await run;
});

test('H7: a gateway that is never idle ends its answers at the limit, and refuses only then', async () => {
  const open: ServerResponse[] = [];
  answer = (res) => void open.push(res);
  const { run, ends, told } = leave(0, 10_000);
  const connection = await rawConnection(`http://127.0.0.1:${portOf(server)}`, REQUEST);
  now = 9_999;
  expect([await ends(), departure.stage, open.length]).toEqual([false, 'leaving', 1]);
  expect(() => departure.turnAway()).not.toThrow();
  now = 10_000;
  expect([await ends(), told]).toEqual([false, ['refusing']]);
  expect(() => departure.turnAway()).toThrow('shutting down');
  now = 12_000;
  await run;
  await connection.closed;
});
