import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { call, WAYS_TO_LEAVE } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { startNameServer, type NameServer } from '../support/name-server.ts';
import { portOf } from '../support/port-of.ts';
import { startStack, type Stack } from '../support/stack.ts';

const CHAT = '/v1/chat/completions';
const Line = z.looseObject({ level: z.string(), event: z.string(), outcome: z.string().optional() });

let stack: Stack;
/** does not answer, and records its requests */
let host: Server;
/** the same for DNS queries */
let names: NameServer;
beforeAll(async () => {
  names = await startNameServer(() => 'silence');
  host = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(host, 'listening');
  stack = await startStack({
    launchers: 0,
    gatewayEnv: {
      GATEWAY_LOG_LEVEL: 'debug',
      GATEWAY_IMAGE_ALLOW: '127.0.0.1',
      GATEWAY_IMAGE_LIMIT_KEY_FETCHES: '1',
      GATEWAY_IMAGE_NAME_SERVERS: names.address,
    },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  await names[Symbol.asyncDispose]();
  host.closeAllConnections();
  host.close();
});

const lines = (): z.infer<typeof Line>[] =>
  (stack.gateways[0]?.output() ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => Line.parse(JSON.parse(line)));

/** The log line of the one request that ends while `leaving` runs. */
async function toldOf(leaving: () => Promise<void>): Promise<z.infer<typeof Line>[]> {
  const before = lines().length;
  await leaving();
  await eventually('its line', () =>
    lines()
      .slice(before)
      .some(({ event }) => event === 'request'),
  );
  // Errors after the hang-up are logged later than that line; an answered request is logged after both.
  await fetch(`${stack.url}/v1/models`).then((answer) => answer.text());
  await eventually(
    'the next line',
    () =>
      lines()
        .slice(before)
        .filter(({ event }) => event === 'request').length > 1,
  );
  return lines().slice(before, -1);
}

const expectClientClosed = (told: z.infer<typeof Line>[]): void => {
  expect(told.filter(({ event }) => event === 'request')).toMatchObject([
    { level: 'info', outcome: 'client_closed', status: 499 },
  ]);
  expect(told.filter(({ level }) => level !== 'info' && level !== 'debug')).toEqual([]);
  expect(JSON.stringify(told)).not.toContain('internal');
};

const about = (url: string): object => ({
  messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
});
const held = (): string => `http://127.0.0.1:${portOf(host)}/a.png`;

// Only one fetch at a time is allowed here, so each test also shows that the one before freed its fetch.
test.each(WAYS_TO_LEAVE)(
  'N16: a client that leaves by %s while a picture is fetched is logged as client_closed',
  async (how) => {
    const told = await toldOf(async () => {
      const asked = once(host, 'request');
      const sent = call(stack.url + CHAT, about(held()));
      await asked;
      sent.leave(how);
    });
    expectClientClosed(told);
  },
);

test.each(WAYS_TO_LEAVE)('N16: … while the name of its host is resolved (%s)', async (how) => {
  const told = await toldOf(async () => {
    const sent = call(stack.url + CHAT, about(`http://mute-${how}.test/a.png`));
    await eventually('it is being resolved', () => names.asked.includes(`A mute-${how}.test`));
    sent.leave(how);
  });
  expectClientClosed(told);
});

test.each(WAYS_TO_LEAVE)('N16: … while its fetch waits for a slot (%s)', async (how) => {
  const asked = once(host, 'request');
  const before = call(stack.url + CHAT, about(held()));
  await asked;
  const told = await toldOf(async () => {
    const sent = call(stack.url + CHAT, about(held()));
    await eventually('it has arrived', async () => (await stack.metric('penstock_requests_in_flight')) > 1);
    sent.leave(how);
  });
  expectClientClosed(told);
  expectClientClosed(await toldOf(() => Promise.resolve(void before.leave(how))));
});

test.each(WAYS_TO_LEAVE)('N16: … while the request waits in the queue (%s)', async (how) => {
  const told = await toldOf(async () => {
    const jobs = await stack.metric('penstock_jobs_added_total');
    const sent = call(stack.url + CHAT, { messages: [{ role: 'user', content: 'hi' }] });
    await eventually('it waits', async () => (await stack.metric('penstock_jobs_added_total')) > jobs);
    sent.leave(how);
  });
  expectClientClosed(told);
});

test.each(WAYS_TO_LEAVE)('N16: … while the body is being sent (%s)', async (how) => {
  const told = await toldOf(async () => {
    const socket = connect(Number(new URL(stack.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"m`,
    );
    await eventually('it has begun', async () => (await stack.metric('penstock_requests_in_flight')) > 0);
    if (how === 'half-close') socket.end();
    else if (how === 'reset') socket.resetAndDestroy();
    else socket.destroy();
  });
  expectClientClosed(told);
});
