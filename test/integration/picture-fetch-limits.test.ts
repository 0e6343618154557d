import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { fetching, PARAM } from '../support/fetching.ts';
import { startNameServer } from '../support/name-server.ts';
import { png } from '../support/pictures.ts';
import { portOf } from '../support/port-of.ts';
import { startRawHost, type RawScript } from '../support/raw-host.ts';
import { eventually } from '../support/eventually.ts';

const picture = png(8, 6);
const well: RawScript = (socket) => void socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), picture]));
const silentUnlessWell: RawScript = (socket, path) => {
  if (path === '/well') well(socket, path);
};

test('N1: a key above its limit waits for its own fetches; other keys do not', async () => {
  await using host = await startRawHost(silentUnlessWell);
  const get = fetching({ fetchesPerKey: 2 });
  const caller = new AbortController();
  const gone = new Error('gone');
  const held = Promise.allSettled(
    [1, 2].map(() => get(host.at('/silence'), { signal: AbortSignal.any([caller.signal]) })),
  );
  await eventually('both run', () => host.asked.length === 2);
  const waiting = get(host.at('/well'));
  expect(await get(host.at('/well'), { keyId: 'other' })).toEqual(picture);
  expect(host.asked).toEqual(['/silence', '/silence', '/well']);
  caller.abort(gone);
  expect(await waiting).toEqual(picture);
  for (const ended of await held) expect(ended).toEqual({ status: 'rejected', reason: gone });
  await eventually('their connections are closed', () => host.open.size === 0);
});

test('N1: the wait for a fetch slot counts towards the timeout, and is reported as such', async () => {
  await using host = await startRawHost(well);
  for (const full of [{ fetchesPerKey: 0 }, { fetchesPerReplica: 0 }])
    await expect(fetching({ ...full, timeoutMs: 100 })(host.at('/well'))).rejects.toMatchObject({
      code: 'overloaded',
      status: 503,
      message: expect.stringContaining('100 ms'),
      options: { param: PARAM },
    });
  expect(host.asked).toEqual([]);
});

/** Stages of a fetch at which its caller leaves. */
const STAGES: Readonly<Record<string, (socket: Socket) => void>> = {
  'before the first byte': () => undefined,
  'within the head': (socket) => void socket.write('HTTP/1.1 200 OK\r\nx: '),
  'after early hints': (socket) => void socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'),
  'within the body': (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nabc'),
  'within a coded body': (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\u001f'),
  'before the body of deflate': (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\n\r\n'),
};
test.each(Object.keys(STAGES))('N1: a caller who leaves %s frees its fetch immediately', async (stage) => {
  await using host = await startRawHost((socket, path) => {
    if (path === '/well') well(socket, path);
    else STAGES[stage]?.(socket);
  });
  const get = fetching({ fetchesPerKey: 1 });
  const caller = new AbortController();
  const gone = new Error('gone');
  const held = get(host.at('/held'), { signal: caller.signal }).catch((reason: unknown) => reason);
  await eventually('it is under way', () => host.asked.length === 1);
  const next = get(host.at('/well'));
  caller.abort(gone);
  expect(await held).toBe(gone);
  expect(await next).toEqual(picture);
  await eventually('the connections are closed', () => host.open.size === 0);
});

test('N1: a caller who leaves during the TLS handshake or the connect frees its fetch immediately', async () => {
  const connected: Socket[] = [];
  const mute = createServer((socket) => connected.push(socket.on('error', () => undefined)));
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const get = fetching();
  const caller = new AbortController();
  const gone = new Error('gone');
  const held = get(`https://127.0.0.1:${portOf(mute)}/a.png`, { signal: caller.signal }).catch(
    (reason: unknown) => reason,
  );
  const socket = await eventually('it has connected', () => connected[0]);
  socket.resume();
  caller.abort(gone);
  expect(await held).toBe(gone);
  if (!socket.destroyed) await once(socket, 'close');
  mute.close();
});

test('N1: a caller who has already left causes no DNS query and no connection', async () => {
  await using host = await startRawHost(well);
  await using names = await startNameServer(() => ['127.0.0.1']);
  const get = fetching({ names: { servers: [names.address] } });
  const gone = new Error('gone');
  await expect(get(host.at('/well'), { signal: AbortSignal.abort(gone) })).rejects.toBe(gone);
  await expect(get('http://well.test/', { signal: AbortSignal.abort(gone) })).rejects.toBe(gone);
  expect([host.asked, names.asked]).toEqual([[], []]);
});

test('a name with changing addresses is connected only at the checked address', async () => {
  await using host = await startRawHost(well);
  await using inside = await startRawHost(well, { address: '127.0.0.2', port: host.port });
  let count = 0;
  await using names = await startNameServer((_name, type) => {
    if (type === 'AAAA') return [];
    count += 1;
    return [count % 2 === 0 ? '127.0.0.2' : '127.0.0.1'];
  });
  const get = fetching({ names: { servers: [names.address] } });
  const url = `http://rebinding.test:${host.port}/a.png`;
  const ended = [];
  for (let i = 0; i < 20; i += 1)
    ended.push(
      await get(url).then(
        () => 'fetched',
        () => 'refused',
      ),
    );
  expect(ended).toEqual(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? 'fetched' : 'refused')));
  expect(inside.asked).toEqual([]);
});

test('of several addresses those that do not answer are skipped, in both families', async () => {
  await using host = await startRawHost(well);
  await using names = await startNameServer((name, type) => {
    if (type === 'AAAA') return name === 'four.test' ? [] : ['::1'];
    return name === 'six-first.test' ? ['127.0.0.1'] : ['127.0.0.3', '127.0.0.1'];
  });
  const get = fetching({ allow: ['127.0.0.0/8', '::1'], names: { servers: [names.address] } });
  for (const name of ['four', 'both', 'six-first'])
    expect(await get(`http://${name}.test:${host.port}/a.png`)).toEqual(picture);
});

test('N11: ports other than 80 and 443 are not tried, and all get the same message', async () => {
  await using host = await startRawHost(well);
  await using names = await startNameServer((_name, type) => (type === 'A' ? ['127.0.0.1'] : []));
  const get = fetching({ allow: ['other.test'], names: { servers: [names.address] } });
  const failures = [];
  for (const url of [host.at('/'), `http://well.test:${host.port}/`, 'http://8.8.8.8:22/', 'http://10.0.0.1/'])
    failures.push(await get(url).catch((failure: unknown) => failure));
  const [first] = failures;
  expect(first).toMatchObject({ code: 'image_fetch_failed', status: 400, options: { param: PARAM } });
  const message = first instanceof Error ? first.message : '';
  expect(message).toContain('on port 80 or 443');
  for (const failure of failures) expect(failure).toMatchObject({ code: 'image_fetch_failed', message });
  expect(host.asked).toEqual([]);
  expect(await get(`http://other.test:${host.port}/`)).toEqual(picture);
});
