import { createServer } from 'node:http';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { freePort } from '#runtime/free-port';
import { createAddressGuard } from '../../../gateway/images/fetch/address-guard.ts';
import { Pace } from '../../../gateway/images/fetch/paced-connection.ts';
import { pauseAfter } from '../../../gateway/webhooks/event-queue.ts';
import { postEvent } from '../../../gateway/webhooks/post-event.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const event = { answer: 'resp_1', key: 'k', type: 'response.completed', created: 1 } as const;
const network = (names: Record<string, string>, allow: string[] = []) => ({
  guard: createAddressGuard(allow),
  lookup: (host: string) => Promise.resolve([{ address: names[host] ?? '', family: 4 }]),
  pace: new Pace(),
});

test('a public host gets events by https alone', async () => {
  const send = postEvent(
    event,
    { url: 'http://hooks.test/', secret: SECRET },
    network({ 'hooks.test': '93.184.215.14' }),
  );
  await expect(send).rejects.toThrow('its URL is not https');
});

test.each(['10.0.0.1', '127.0.0.1', '169.254.169.254', '::1'])(
  'a name that leads to %s is refused',
  async (address) => {
    const send = postEvent(event, { url: 'https://hooks.test/', secret: SECRET }, network({ 'hooks.test': address }));
    await expect(send).rejects.toThrow('its address or port is not allowed');
  },
);

test('an endless answer costs no memory, and counts by its status', async () => {
  const server = createServer((_req, res) => {
    res.writeHead(200);
    const more = (): void => void (res.destroyed || res.write('x'.repeat(65_536), more));
    more();
  });
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  await postEvent(event, { url: `http://127.0.0.1:${port}/`, secret: SECRET }, network({}, ['127.0.0.1']));
  server.close();
  server.closeAllConnections();
});

test('the pauses of 36 tries add up to about a day, and none is far above an hour', () => {
  const pauses = Array.from({ length: 35 }, (_, at) => pauseAfter(at + 1));
  const hours = pauses.reduce((sum, pause) => sum + pause, 0) / 3_600_000;
  expect(hours).toBeGreaterThan(20);
  expect(hours).toBeLessThan(29);
  expect(Math.max(...pauses)).toBeLessThan(3_600_000 * 1.26);
});
