import { execFile, execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { freePort } from '#runtime/free-port';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { temporaryFolder } from '../support/start-process.ts';

const folder = temporaryFolder();
const servers: TestRedis[] = [];
const processes: ChildProcess[] = [];
const started = async (...args: string[]): Promise<TestRedis> => {
  const server = await startRedis({ args });
  servers.push(server);
  return server;
};
const http = createServer((_req, res) => res.end('hello'));
let plain: TestRedis;
let tlsPort: number;

beforeAll(async () => {
  const [key, certificate] = [join(folder.path, 'redis.key'), join(folder.path, 'redis.crt')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate];
  execFileSync('openssl', [...request, '-subj', '/CN=localhost'], { stdio: 'ignore' });
  tlsPort = await freePort();
  const tls = ['--tls-port', String(tlsPort), '--tls-cert-file', certificate, '--tls-key-file', key];
  plain = await started(...tls, '--tls-auth-clients', 'no');
  await plain.client.acl('SETUSER', 'reader', 'on', '>pw', '~*', '&*', '+@all', '-xadd', '-set');
  await plain.client.acl('SETUSER', 'elsewhere', 'on', '>pw', '~other:*', '&*', '+@all');
  await plain.client.acl('SETUSER', 'deaf', 'on', '>pw', '~*', 'resetchannels', '+@all');
  await plain.client.acl('SETUSER', 'scriptless', 'on', '>pw', '~*', '&*', '+@all', '-eval', '-evalsha');
  await plain.client.acl('SETUSER', 'single', 'on', '>pw', '~*', '&*', '+@all', '-multi', '-exec');
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
}, 30_000);
afterAll(async () => {
  http.close();
  for (const child of processes) child.kill('SIGKILL');
  for (const server of servers) await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const host = (): string => plain.url.replace('redis://', '');

/** Starts both programs with this URL. @returns each one's output and exit */
async function refusals(url: string): Promise<{ code: unknown; stdout: string; stderr: string }[]> {
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  const run = (file: string, settings: Record<string, string>) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      execFile(
        process.execPath,
        [file],
        { env: { ...env, ...settings }, timeout: 30_000, killSignal: 'SIGKILL' },
        (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
      );
    });
  return Promise.all([
    run('dist/gateway/main.js', {
      GATEWAY_REDIS_URL: url,
      GATEWAY_REDIS_WAIT_MS: '3000',
      GATEWAY_PORT: String(await freePort()),
      GATEWAY_INTERNAL_PORT: String(await freePort()),
    }),
    run('dist/worker-launcher/main.js', {
      WORKER_REDIS_URL: url,
      WORKER_REDIS_WAIT_MS: '3000',
      WORKER_ENGINE: 'simulator',
      WORKER_INTERNAL_PORT: String(await freePort()),
      WORKER_STATE_DIR: join(folder.path, 'state'),
    }),
  ]);
}

const Line = z.object({ event: z.string() });
test.each<[string, () => string | Promise<string>, RegExp]>([
  [
    'C2: a database that it does not have',
    () => `${plain.url}/20`,
    /has no database 20: end the URL in a database that it has/,
  ],
  ['C2: a path that is not a database', () => `${plain.url}/abc`, /REDIS_URL: .* the number of a database/],
  [
    'C3: a Redis Cluster without slots',
    // Its second port is 10,000 above the first one otherwise, and may be another process's.
    async () => (await started('--cluster-enabled', 'yes', '--cluster-port', String(await freePort()))).url,
    /is a Redis Cluster that is down, or has slots without a node/,
  ],
  [
    'H11: a Sentinel',
    async () => {
      const port = await freePort();
      const file = join(folder.path, 'sentinel.conf');
      writeFileSync(file, `port ${port}\nbind 127.0.0.1\n`);
      processes.push(execFile('redis-server', [file, '--sentinel', '--daemonize', 'no']));
      const client = new Redis(port, { maxRetriesPerRequest: null });
      client.on('error', () => {});
      await client.ping();
      client.disconnect();
      return `redis://127.0.0.1:${port}`;
    },
    /is a Sentinel: name it in _REDIS_SENTINELS/,
  ],
  [
    'H11: a read-only replica',
    async () => (await started('--replicaof', '127.0.0.1', new URL(plain.url).port)).url,
    /is a read-only replica: give the address of its primary/,
  ],
  ['H11: an HTTP server', () => `redis://127.0.0.1:${portOf(http)}`, /is this the port of another service\?/],
  [
    'H11: TLS to a plain port',
    () => plain.url.replace('redis:', 'rediss:'),
    /does not answer in TLS: if this is a plain port, begin the URL with redis:\/\//,
  ],
  [
    'H11: plain to the port for TLS',
    () => `redis://127.0.0.1:${tlsPort}`,
    /if this is a TLS port, begin the URL with rediss:/,
  ],
  ['H11: no server', async () => `redis://127.0.0.1:${await freePort()}`, /refuses connections: is it running/],
  ['H12: a wrong password', () => `redis://reader:wrong@${host()}`, /refuses our user or password/],
  [
    'H12: a user without some commands',
    () => `redis://reader:pw@${host()}`,
    /does not let our user run (set, xadd|xadd, set) on \S+: give it the rights/,
  ],
  [
    'H12: a user without our keys',
    () => `redis://elsewhere:pw@${host()}`,
    /does not let our user run or reach our keys/,
  ],
  [
    'H12: a user without our channels',
    () => `redis://deaf:pw@${host()}`,
    /does not let our user run or reach our channels/,
  ],
  ['H12: a user without transactions', () => `redis://single:pw@${host()}`, /let our user run or reach (multi|exec)/],
  [
    'H12: a user without scripts',
    () => `redis://scriptless:pw@${host()}`,
    /does not let our user run eval, evalsha on \S+: give it the rights/,
  ],
])(
  '%s: the start of both programs is refused in one sentence',
  async (_name, url, expected) => {
    const address = await url();
    for (const { code, stdout, stderr } of await refusals(address)) {
      expect(code).toBe(1);
      expect(stderr).toMatch(expected);
      expect(stderr.trimEnd().split('\n').length).toBeLessThan(3);
      expect(stdout + stderr).not.toContain('    at ');
      // Every line of the log is JSON: no library writes between them.
      for (const line of stdout.split('\n').filter((text) => text !== '')) Line.parse(JSON.parse(line));
    }
  },
  60_000,
);
