import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#runtime/free-port';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BulkReader } from '../../worker-launcher/dispatch/bulk-reader.ts';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

let server: TestRedis;
const readers: BulkReader[] = [];
const reader = (url = server.url, more = {}): BulkReader => {
  const made = new BulkReader({ url, ...more }, 2_000);
  readers.push(made);
  return made;
};
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  for (const one of readers) one.close();
  await server[Symbol.asyncDispose]();
});

test('values of all sizes are read unchanged, several at a time', async () => {
  const values = [0, 1, 5, 1_000, 262_143, 262_144, 262_145, 3_000_001].map((size) => randomBytes(size));
  for (const [index, value] of values.entries()) await server.client.set(`value-${index}`, value);
  const bulk = reader();
  const read = await Promise.all([...values.keys()].map((index) => bulk.get(`value-${index}`)));
  expect(read.map((value, index) => value?.equals(values[index] ?? Buffer.alloc(0)))).toEqual(values.map(() => true));
  expect(await bulk.get('no such key')).toBeNull();
});

test('it logs in, selects the database of its URL, and reports a refusal by Redis', async () => {
  await server.client.acl('SETUSER', 'worker', 'on', '>p@ss word', '~*', '+@all');
  await server.client.select(3);
  await server.client.set('of three', 'yes');
  await server.client.select(0);
  const login = { username: 'worker', password: 'p@ss word' };
  expect((await reader(`${server.url}/3`, login).get('of three'))?.toString()).toBe('yes');
  expect(await reader(server.url, login).get('of three')).toBeNull();
  await expect(reader(server.url, { ...login, password: 'wrong' }).get('of three')).rejects.toThrow();
  await server.client.lpush('a list', 'x');
  const bulk = reader();
  await expect(bulk.get('a list')).rejects.toThrow('WRONGTYPE');
  await server.client.set('a value', 'v');
  expect((await bulk.get('a value'))?.toString()).toBe('v');
});

test('it reads over TLS, from a server whose certificate it checks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-bulk-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', certificate];
  execFileSync('openssl', [...request, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], {
    stdio: 'ignore',
  });
  const tlsPort = String(await freePort());
  const tls = [
    '--tls-port',
    tlsPort,
    '--tls-cert-file',
    certificate,
    '--tls-key-file',
    key,
    '--tls-auth-clients',
    'no',
  ];
  await using locked = await startRedis({ args: tls });
  const value = randomBytes(1_000_000);
  await locked.client.set('large', value);
  const url = `rediss://localhost:${tlsPort}`;
  const startedAt = performance.now();
  expect((await reader(url, { ca: await readFile(certificate, 'utf8') }).get('large'))?.equals(value)).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(1_900);
  await expect(reader(url).get('large')).rejects.toThrow('self-signed');
  await rm(folder, { recursive: true });
});

test('a silent Redis or a broken connection fails the running reads, and the next read reconnects', async () => {
  const sockets: Socket[] = [];
  const mute = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const bulk = reader(`redis://127.0.0.1:${portOf(mute)}`);
  await expect(bulk.get('x')).rejects.toThrow('does not answer');
  const cut = bulk.get('x');
  const [, second] = [sockets[0], sockets[1] ?? (await once(mute, 'connection'))[0]] as [Socket?, Socket?];
  second?.end('$100\r\nhalf');
  await expect(cut).rejects.toThrow();
  mute.close();
  for (const socket of sockets) socket.destroy();
});
