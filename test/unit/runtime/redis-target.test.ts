import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { credentialsOf, redisTargets } from '../../../gateway/runtime/redis-target.ts';

const PASSWORD = 'p@ss:/?#%25[w] +é';
const URL_HOST = 'redis://cache:6379';
const folder = mkdtempSync(join(tmpdir(), 'penstock-target-'));
const file = join(folder, 'password');
writeFileSync(file, `${PASSWORD}\n`);
afterAll(() => rmSync(folder, { recursive: true }));

const queue = (settings: Record<string, string>) => redisTargets('GATEWAY', settings).queue;

test('a password outside the URL is used unchanged, from the environment or from a file', () => {
  const expected = { url: URL_HOST, password: PASSWORD, username: 'app' };
  const beside = { GATEWAY_REDIS_URL: URL_HOST, GATEWAY_REDIS_USERNAME: 'app' };
  expect(queue({ ...beside, GATEWAY_REDIS_PASSWORD: PASSWORD })).toEqual(expected);
  expect(credentialsOf(queue({ ...beside, GATEWAY_REDIS_PASSWORD_FILE: file }))).toEqual({
    username: 'app',
    password: PASSWORD,
  });
  const named = { GATEWAY_REDIS_URL: 'redis://app@cache:6379', GATEWAY_REDIS_PASSWORD: PASSWORD };
  expect(queue(named)).toEqual(expected);
});

test('a password in the URL stays there', () => {
  const url = `redis://app:${encodeURIComponent(PASSWORD)}@cache:6379`;
  expect(queue({ GATEWAY_REDIS_URL: url })).toEqual({ url });
});

test('bodies and replies use the same Redis and login, unless there is a second Redis', () => {
  const one = redisTargets('GATEWAY', { GATEWAY_REDIS_URL: URL_HOST, GATEWAY_REDIS_PASSWORD: 'a' });
  expect(one.replies).toBe(one.queue);
  const two = redisTargets('GATEWAY', {
    GATEWAY_REDIS_URL: URL_HOST,
    GATEWAY_REDIS_PASSWORD: 'a',
    GATEWAY_REPLY_REDIS_URL: 'redis://second',
  });
  expect(two.replies).toEqual({ url: 'redis://second' });
});

test('a cluster has the node of the URL and those beside it; Sentinels have their own login', () => {
  expect(
    queue({ GATEWAY_REDIS_URL: 'redis://one:7000/0', GATEWAY_REDIS_CLUSTER_NODES: 'two:7001, [::1]:7002' }),
  ).toEqual({
    url: 'redis://one:7000/0',
    clusterNodes: [
      { host: 'one', port: 7000 },
      { host: 'two', port: 7001 },
      { host: '::1', port: 7002 },
    ],
  });
  const watched = { GATEWAY_REDIS_URL: 'redis://mymaster/3', GATEWAY_REDIS_SENTINELS: 's-1:26379,s-2:26379' };
  const nodes = [
    { host: 's-1', port: 26_379 },
    { host: 's-2', port: 26_379 },
  ];
  expect(queue(watched)).toEqual({ url: 'redis://mymaster/3', sentinel: { nodes } });
  const login = { GATEWAY_REDIS_SENTINEL_USERNAME: 'app', GATEWAY_REDIS_SENTINEL_PASSWORD_FILE: file };
  expect(queue({ ...watched, ...login }).sentinel).toEqual({ nodes, username: 'app', password: PASSWORD });
});

test.each([
  [
    { GATEWAY_REDIS_CLUSTER_NODES: 'b:1', GATEWAY_REDIS_SENTINELS: 'c:1' },
    /^GATEWAY_REDIS_SENTINELS: a Redis Cluster has none/,
  ],
  [
    { GATEWAY_REDIS_URL: 'redis://a/1', GATEWAY_REDIS_CLUSTER_NODES: 'b:1' },
    /^GATEWAY_REDIS_CLUSTER_NODES: .* database 0 alone/,
  ],
  [{ GATEWAY_REDIS_SENTINELS: 'c:1' }, /^GATEWAY_REDIS_URL: its host is the name of the primary/],
  [
    { GATEWAY_REDIS_SENTINEL_PASSWORD: 'secret' },
    /^GATEWAY_REDIS_SENTINEL_PASSWORD: needs the addresses in _SENTINELS/,
  ],
  [{ GATEWAY_REPLY_REDIS_CLUSTER_NODES: 'b:1' }, /^GATEWAY_REPLY_REDIS_CLUSTER_NODES: needs GATEWAY_REPLY_REDIS_URL/],
  [
    { GATEWAY_REDIS_PASSWORD: 'x', GATEWAY_REDIS_PASSWORD_FILE: file },
    /^GATEWAY_REDIS_PASSWORD: _PASSWORD_FILE gives one too/,
  ],
  [{ GATEWAY_REDIS_URL: 'redis://:secret@cache', GATEWAY_REDIS_PASSWORD: 'x' }, /^GATEWAY_REDIS_PASSWORD: the URL/],
  [
    { GATEWAY_REDIS_PASSWORD_FILE: join(folder, 'nowhere') },
    /^GATEWAY_REDIS_PASSWORD_FILE: .* cannot be read \(ENOENT\)/,
  ],
  [{ GATEWAY_REDIS_URL: 'redis://:secret@cache/abc' }, /^GATEWAY_REDIS_URL: .* the number of a database, such as \/0/],
  [{ GATEWAY_REDIS_URL: 'redis://:secret@cache/1/2' }, /^GATEWAY_REDIS_URL: .* the number of a database/],
  [{ GATEWAY_REDIS_URL: 'redis://cache/?db=3' }, /^GATEWAY_REDIS_URL: has something after \? or #/],
  [{ GATEWAY_REDIS_URL: 'redis://cache/0?family=6' }, /^GATEWAY_REDIS_URL: has something after \? or #/],
  [{ GATEWAY_REDIS_URL: 'redis://cache/0#secret' }, /^GATEWAY_REDIS_URL: has something after \? or #/],
  [{ GATEWAY_REDIS_URL: 'redis://:50%secret@cache' }, /^GATEWAY_REDIS_URL: write %25 for a % in the user or password/],
  [{ GATEWAY_REDIS_URL: 'redis://secret%ff@cache' }, /^GATEWAY_REDIS_URL: write %25 for a % in the user or password/],
  [{ GATEWAY_REDIS_URL: 'redis:///0' }, /^GATEWAY_REDIS_URL: names no host or port/],
  [{ GATEWAY_REDIS_URL: 'redis://cache:0' }, /^GATEWAY_REDIS_URL: names no host or port/],
  [{ GATEWAY_REPLY_REDIS_URL: 'redis://cache/-1' }, /^GATEWAY_REPLY_REDIS_URL: .* the number of a database/],
  [
    { GATEWAY_REDIS_CERT_FILE: file, GATEWAY_REDIS_KEY_FILE: file },
    /^GATEWAY_REDIS_CERT_FILE: needs a URL that begins with rediss/,
  ],
  [
    { GATEWAY_REDIS_URL: 'rediss://cache', GATEWAY_REDIS_CERT_FILE: file },
    /^GATEWAY_REDIS_CERT_FILE: a certificate needs its key/,
  ],
  [{ GATEWAY_REDIS_CA_FILE: file }, /^GATEWAY_REDIS_CA_FILE: needs a URL that begins with rediss/],
  [
    { GATEWAY_REDIS_URL: 'rediss://cache', GATEWAY_REDIS_CA_FILE: file },
    /^GATEWAY_REDIS_CA_FILE: \S+ holds no certificate/,
  ],
  [{ GATEWAY_REDIS_USERNAME: 'app' }, /^GATEWAY_REDIS_USERNAME: needs a password/],
  [
    { GATEWAY_REDIS_URL: 'redis://:secret@cache', GATEWAY_REDIS_USERNAME: 'app' },
    /^GATEWAY_REDIS_USERNAME: the URL holds the password/,
  ],
  [{ GATEWAY_REDIS_AUTH: 'entra' }, /^GATEWAY_REDIS_USERNAME: missing; for _AUTH=entra it is the object id/],
  [
    { GATEWAY_REDIS_AUTH: 'entra', GATEWAY_REDIS_USERNAME: 'app', GATEWAY_REDIS_PASSWORD: 'secret' },
    /^GATEWAY_REDIS_PASSWORD: holds a password, but _AUTH=entra makes them/,
  ],
  [
    { GATEWAY_REDIS_URL: 'redis://cache', GATEWAY_REDIS_AUTH: 'entra', GATEWAY_REDIS_USERNAME: 'app' },
    /^GATEWAY_REDIS_URL: must begin with rediss:/,
  ],
  [{ GATEWAY_REPLY_REDIS_PASSWORD: 'x' }, /^GATEWAY_REPLY_REDIS_PASSWORD: needs GATEWAY_REPLY_REDIS_URL/],
])('impossible settings are refused in one sentence that names the setting and no value: %#', (settings, expected) => {
  let message = '';
  try {
    redisTargets('GATEWAY', { GATEWAY_REDIS_URL: URL_HOST, ...settings });
  } catch (error) {
    message = String((error as { message: string }).message).replace('bad configuration\n  ', '');
  }
  expect(message).toMatch(expected);
  expect(message).not.toContain('secret');
});
