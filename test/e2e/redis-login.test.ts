import { execFile, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Authority } from '../support/authority.ts';
import { Answer, post } from '../support/chat-client.ts';
import { freePort } from '#runtime/free-port';
import { png } from '../support/pictures.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const PASSWORD = 'p@ss:/?#%25[w] +é';
const ENCODED = encodeURIComponent(PASSWORD);
const MODEL = 'Phi-3-vision-128k-instruct';
const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };

const folder = temporaryFolder();
const passwordFile = join(folder.path, 'password');
let locked: TestRedis;
let tlsPort: number;

beforeAll(async () => {
  writeFileSync(passwordFile, `${PASSWORD}\n`);
  const [key, certificate] = [join(folder.path, 'redis.key'), join(folder.path, 'redis.crt')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate];
  execFileSync('openssl', [...request, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], {
    stdio: 'ignore',
  });
  tlsPort = await freePort();
  const tls = ['--tls-port', String(tlsPort), '--tls-cert-file', certificate, '--tls-key-file', key];
  locked = await startRedis({ args: [...tls, '--tls-auth-clients', 'no'] });
  await locked.client.acl('SETUSER', 'app', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
  await locked.client.config('SET', 'requirepass', PASSWORD);
}, 30_000);
afterAll(async () => {
  await locked[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** The same for both programs. */
function both(settings: Record<string, string>) {
  const of = (program: string): Record<string, string> =>
    Object.fromEntries(Object.entries(settings).map(([name, value]) => [`${program}_${name}`, value]));
  return {
    gatewayEnv: { ...of('GATEWAY'), GATEWAY_LOG_LEVEL: 'debug' },
    workerEnv: { ...of('WORKER'), WORKER_LOG_LEVEL: 'debug' },
  };
}

async function toldOf(stack: Stack): Promise<string> {
  const programs = [...stack.gateways, ...stack.launchers];
  const urls = programs.flatMap(({ internalUrl }) => [`${internalUrl}/status`, `${internalUrl}/metrics`]);
  const pages = await Promise.all(urls.map(async (url) => (await fetch(url)).text()));
  return [...programs.map(({ output }) => output()), ...pages].join('\n');
}

const host = (): string => locked.url.replace('redis://', '');
test.each([
  ['unchanged, outside the URL', () => ({ REDIS_URL: locked.url, REDIS_PASSWORD: PASSWORD })],
  [
    'from a file, with a user name',
    () => ({ REDIS_URL: locked.url, REDIS_USERNAME: 'app', REDIS_PASSWORD_FILE: passwordFile }),
  ],
  ['percent-encoded in the URL', () => ({ REDIS_URL: `redis://app:${ENCODED}@${host()}` })],
  [
    'over TLS, with its own certificate authority and key prefix',
    () => ({
      REDIS_URL: `rediss://localhost:${tlsPort}`,
      REDIS_PASSWORD_FILE: passwordFile,
      REDIS_CA_FILE: join(folder.path, 'redis.crt'),
      REDIS_PREFIX: 'other.one',
    }),
  ],
])(
  'a password with every special character logs in, %s, and is printed nowhere',
  async (_how, settings) => {
    await using stack = await startStack(both(settings()));
    const answer = await post(`${stack.url}/v1/chat/completions`, question);
    expect(Answer.parse(await answer.json()).choices[0].message.content).not.toBe('');
    const told = await toldOf(stack);
    for (const secret of [PASSWORD, ENCODED, JSON.stringify(PASSWORD).slice(1, -1)]) expect(told).not.toContain(secret);
    const keys = await locked.client.keys('*');
    const prefix = 'REDIS_PREFIX' in settings() ? /^\{?other\.one:/ : /^\{?penstock:/;
    expect(keys.filter((key) => prefix.test(key)).length).toBeGreaterThan(0);
    if ('REDIS_PREFIX' in settings()) expect(keys.filter((key) => !prefix.test(key))).toEqual([]);
    await locked.client.flushall();
  },
  60_000,
);

test('a wrong password ends the start with a sentence without the password', async () => {
  const env = { GATEWAY_REDIS_URL: locked.url, GATEWAY_REDIS_PASSWORD: `${PASSWORD}?`, GATEWAY_REDIS_WAIT_MS: '3000' };
  const output = await promisify(execFile)(process.execPath, ['dist/gateway/main.js'], { env }).then(
    () => 'it started',
    (error: { readonly stdout: string; readonly stderr: string }) => error.stdout + error.stderr,
  );
  expect(output).toMatch(/Redis at 127\.0\.0\.1:\d+ refuses our user or password/);
  expect(output).not.toContain(PASSWORD);
}, 30_000);

test('a Redis that asks for certificates of its clients gets those of both programs, pictures included', async () => {
  const authority = new Authority(folder.path);
  const [server, client] = [authority.issue(), authority.issue()];
  const port = await freePort();
  const tls = ['--tls-port', String(port), '--tls-cert-file', server.certificate, '--tls-key-file', server.key];
  const redis = await startRedis({ args: [...tls, '--tls-ca-cert-file', authority.file, '--tls-auth-clients', 'yes'] });
  const settings = {
    REDIS_URL: `rediss://localhost:${port}`,
    REDIS_CA_FILE: authority.file,
    REDIS_CERT_FILE: client.certificate,
    REDIS_KEY_FILE: client.key,
  };
  await using stack = await startStack({ redis, ...both(settings) });
  const url = `data:image/png;base64,${png(64, 48).toString('base64')}`;
  for (const content of ['hi', [{ type: 'image_url', image_url: { url } }]]) {
    const body = { ...question, messages: [{ role: 'user', content }] };
    const answer = await post(`${stack.url}/v1/chat/completions`, body);
    expect(Answer.parse(await answer.json()).choices[0].message.content).not.toBe('');
  }
  const names = await redis.client.client('LIST');
  expect(String(names)).toContain('name=penstock-dispatcher');
}, 60_000);
