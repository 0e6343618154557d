import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectRedis } from '../../gateway/runtime/redis.ts';
import { requireRedis } from '../../gateway/runtime/redis-check.ts';
import { aclRules, redisRights } from '#contract/redis-rights';
import { freePort } from '#runtime/free-port';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { silentLog } from '../support/silent-log.ts';
import { temporaryFolder } from '../support/start-process.ts';

const NEEDED = redisRights('gateway', 'single', []);
const folder = temporaryFolder();
const servers: (TestRedis | Server)[] = [];
let plain: TestRedis;
let tlsPort: number;
let strictTlsPort: number;
let ca: string;

beforeAll(async () => {
  const [key, certificate] = [join(folder.path, 'redis.key'), join(folder.path, 'redis.crt')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', [...request, ...name], { stdio: 'ignore' });
  ca = readFileSync(certificate, 'utf8');
  const withTls = async (...more: string[]): Promise<[TestRedis, number]> => {
    const port = await freePort();
    const tls = ['--tls-port', String(port), '--tls-cert-file', certificate, '--tls-key-file', key];
    const server = await startRedis({ kind: 'single', args: [...tls, ...more] });
    servers.push(server);
    return [server, port];
  };
  [plain, tlsPort] = await withTls('--tls-auth-clients', 'no');
  [, strictTlsPort] = await withTls('--tls-ca-cert-file', certificate);
  const rights = ['on', '>pw', '~*', '&*', '+@all'];
  await plain.client.acl('SETUSER', 'plain', ...rights, '-@dangerous');
  await plain.client.acl('SETUSER', 'scriptless', ...rights, '-@scripting');
  await plain.client.acl('SETUSER', 'reader', 'on', '>pw', '%R~*', '&*', '+@all');
  await plain.client.acl('SETUSER', 'nobody', 'on', '>pw');
  await plain.client.acl('SETUSER', 'gone', 'off', '>pw', '~*', '&*', '+@all');
  await plain.client.acl('SETUSER', 'onlyfirst', ...rights, '-select');
}, 30_000);
afterAll(async () => {
  for (const server of servers)
    if ('close' in server) server.close();
    else await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** A service that sends `first` and closes, or answers each received piece. */
async function fakePort(answers: { first: string } | { each: (asked: string) => string }): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if ('first' in answers) socket.end(answers.first);
    else socket.on('data', (asked) => socket.write(answers.each(String(asked))));
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return portOf(server);
}
/** Answers like a Redis of this version: each command with OK, INFO with a page. */
const ofVersion = (version: string) => (asked: string) => {
  const info = `redis_version:${version}\r\nredis_mode:standalone\r\nrole:master\r\n`;
  const commands = asked.match(/^\*\d+\r\n\$\d+\r\n\w+/gm) ?? [];
  return commands.map((one) => (/info$/i.test(one) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')).join('');
};
const local = (port: number): string => `redis://127.0.0.1:${port}`;
const as = (user: string, database = ''): string => plain.url.replace('redis://', `redis://${user}:pw@`) + database;

interface Target {
  readonly url: string;
  readonly ca?: string;
}
test.each<[string, () => Target | Promise<Target>, RegExp]>([
  [
    'H11: a certificate of an authority that is not trusted',
    () => ({ url: `rediss://localhost:${tlsPort}` }),
    /has a certificate that is not trusted: name its certificate authority in _REDIS_CA_FILE$/,
  ],
  [
    'H11: a certificate of another name',
    () => ({ url: `rediss://127.0.0.1:${tlsPort}`, ca }),
    /has a certificate without the name 127\.0\.0\.1: use a name of the certificate in the URL$/,
  ],
  [
    'H11: a port that asks for a certificate of its clients',
    () => ({ url: `rediss://localhost:${strictTlsPort}`, ca }),
    /requires a client certificate, or refuses ours: name one and its key in _REDIS_CERT_FILE and _REDIS_KEY_FILE/,
  ],
  [
    'H11: TLS to a service that speaks something else',
    async () => ({
      url: `rediss://127.0.0.1:${await fakePort({ each: () => 'HTTP/1.1 400 Bad Request\r\n\r\n' })}`,
    }),
    /does not answer in TLS: if this is a plain port, begin the URL with redis:\/\//,
  ],
  [
    'H11: a service that greets, such as ssh',
    async () => ({ url: local(await fakePort({ first: 'SSH-2.0-OpenSSH_9.2\r\n' })) }),
    /does not speak the protocol of Redis: is this the port of another service\?$/,
  ],
  [
    'H11: a service that closes each connection',
    async () => ({ url: local(await fakePort({ first: '' })) }),
    /closes each connection immediately: if this is a TLS port, begin the URL with rediss:/,
  ],
  [
    'H11: protected mode',
    async () => ({ url: local(await fakePort({ first: '-DENIED Redis is running in protected mode because …\r\n' })) }),
    /is in protected mode and serves its own machine only: set a password in Redis, and give Penstock the same one$/,
  ],
  [
    'H11: no connection left',
    async () => ({ url: local(await fakePort({ first: '-ERR max number of clients reached\r\n' })) }),
    /has reached its limit of connections: raise its maxclients$/,
  ],
  [
    'H11: a Redis that is too old',
    async () => ({ url: local(await fakePort({ each: ofVersion('6.0.16') })) }),
    /is Redis 6\.0\.16, which is too old: give one of version 6\.2 or later$/,
  ],
  ['H11: an unknown host name', () => ({ url: 'redis://redis.invalid:6379' }), /has a name that cannot be resolved/],
  [
    'H11: a name that is too long',
    () => ({ url: `redis://${'a.'.repeat(200)}example:6379` }),
    /has a name that cannot be resolved/,
  ],
  ['H12: a user that is switched off', () => ({ url: as('gone') }), /refuses our user or password/],
  ['H12: a user without any right', () => ({ url: as('nobody') }), /does not let our user run or reach info: give it/],
  ['H12: a user without @dangerous', () => ({ url: as('plain') }), /does not let our user run or reach info: give it/],
  [
    'H12: a user without @scripting',
    () => ({ url: as('scriptless') }),
    /does not let our user run eval, evalsha on penstock:limit:check: give it the rights that penstock redis acl/,
  ],
  [
    'H12: a user that may only read',
    () => ({ url: as('reader') }),
    /does not let our user run .*set, .*xadd, .* on penstock:limit:check: give/,
  ],
  [
    'H12: a user that must stay in database 0',
    () => ({ url: as('onlyfirst', '/1') }),
    /does not let our user run or reach select: give it/,
  ],
])('%s is reported in one sentence', async (_name, targetOf, expected) => {
  const target = await targetOf();
  const redis = connectRedis(target, 'fail_fast', 'test', silentLog);
  try {
    // Long enough for a second try, because an alert and the end of its connection may arrive in any order.
    await expect(requireRedis(redis, 3_000, NEEDED)).rejects.toThrow(expected);
  } finally {
    redis.disconnect();
  }
});

test('a healthy Redis, over TLS and over IPv6, is accepted', async () => {
  const six = await startRedis({ kind: 'single', args: ['--bind', '::1', '127.0.0.1'] });
  servers.push(six);
  for (const target of [
    { url: `rediss://localhost:${tlsPort}`, ca },
    { url: six.url.replace('127.0.0.1', '[::1]') },
    { url: as('plain').replace('plain:pw@', '') },
  ]) {
    const redis = connectRedis(target, 'fail_fast', 'test', silentLog);
    const { mode } = await requireRedis(redis, 5_000, NEEDED);
    expect(mode).toBe('standalone');
    redis.disconnect();
  }
});

test('a user that lacks a command of clusters gets it named, not a timeout', async () => {
  await using cluster = await startRedisCluster();
  const places = cluster.nodes.map(({ url }) => new URL(url));
  const clusterNodes = places.map(({ hostname: host, port }) => ({ host, port: Number(port) }));
  const rights = redisRights('worker', 'single', ['Phi-4'], true);
  for (const missing of ['cluster|slots', 'readonly']) {
    for (const { server } of cluster.nodes)
      await server.acl('SETUSER', 'worker', 'reset', 'on', '>pw', ...aclRules(rights, false), `-${missing}`);
    const target = { url: cluster.url, username: 'worker', password: 'pw', clusterNodes };
    const redis = connectRedis(target, 'fail_fast', 'test', silentLog);
    try {
      await expect(requireRedis(redis, 3_000, rights)).rejects.toThrow(
        `does not let our user run ${missing === 'readonly' ? '' : 'or reach '}${missing}`,
      );
    } finally {
      redis.disconnect();
    }
  }
}, 30_000);
