import { writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { portOf } from '../support/port-of.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const question = { model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
const RENEWED = 'the password for redis was renewed';
const USER = '7d3d2c1a-0f5e-4f0e-9a57-1c0ffee00001';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function both(settings: Record<string, string>, others: Record<string, string> = {}) {
  const of = (program: string): Record<string, string> => ({
    ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`${program}_${name}`, value])),
    ...others,
  });
  return { gatewayEnv: of('GATEWAY'), workerEnv: of('WORKER') };
}
const grant = (redis: TestRedis, password: string) =>
  redis.client.acl('SETUSER', USER, 'on', `>${password}`, '~*', '&*', '+@all');
const outputs = ({ gateways, launchers }: Stack): string[] => [...gateways, ...launchers].map(({ output }) => output());
/** A dispatcher writes to the output of its launcher. */
const renewals = (stack: Stack): number => outputs(stack).join('').split(RENEWED).length - 1;
const answered = async ({ url }: Stack): Promise<boolean> =>
  (await post(`${url}/v1/chat/completions`, question)).status === 200;
/** Commands `AUTH` alone: a new connection logs in with `HELLO`. */
const authentications = async (redis: TestRedis): Promise<number> =>
  Number(/cmdstat_auth:calls=(\d+)/.exec(await redis.server.info('commandstats'))?.[1] ?? 0);

test('a password file that is replaced logs in again, and connections of later have the new password', async () => {
  await using redis = await startRedis({ kind: 'single' });
  const file = join(folder.path, 'password');
  writeFileSync(file, 'one\n');
  await grant(redis, 'one');
  await using stack = await startStack({ redis, ...both({ REDIS_USERNAME: USER, REDIS_PASSWORD_FILE: file }) });
  expect(await answered(stack)).toBe(true);
  await grant(redis, 'two');
  writeFileSync(file, 'two\n');
  await eventually('all three programs read it', () => renewals(stack) === 3);
  await eventually('connections log in again', async () => (await authentications(redis)) > 5);
  await redis.client.acl('SETUSER', USER, '<one');
  await redis.client.client('KILL', 'USER', USER);
  await eventually('requests are answered', () => answered(stack));
  for (const output of outputs(stack)) expect(output).not.toContain('WRONGPASS');
}, 60_000);

test('a token of Entra ID is the password, and is renewed before it expires', async () => {
  await using redis = await startRedis({ kind: 'single' });
  const tokens: string[] = [];
  const asked: string[] = [];
  // The managed identity of Azure's App Service and Container Apps.
  // Source: learn.microsoft.com/azure/app-service/overview-managed-identity
  const identity = createServer((req, res) => {
    asked.push(
      `${String(req.headers['x-identity-header'])} ${new URL(req.url ?? '', 'http://x').searchParams.get('resource')}`,
    );
    const token = `entra-token-${tokens.push('')}`;
    tokens[tokens.length - 1] = token;
    const expires = String(Math.round(Date.now() / 1_000) + 5);
    void grant(redis, token).then(() =>
      res
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ access_token: token, expires_on: expires, resource: 'r', token_type: 'Bearer' })),
    );
  });
  await once(identity.listen(0, '127.0.0.1'), 'listening');
  try {
    const endpoint = { IDENTITY_ENDPOINT: `http://127.0.0.1:${portOf(identity)}/token`, IDENTITY_HEADER: 'header' };
    const settings = both({ REDIS_AUTH: 'entra', REDIS_USERNAME: USER }, endpoint);
    await using stack = await startStack({ redis, ...settings });
    expect(await answered(stack)).toBe(true);
    expect(asked[0]).toBe('header https://redis.azure.com');
    await eventually('all three programs renew it', () => renewals(stack) >= 3);
    await eventually('connections log in again', async () => (await authentications(redis)) > 5);
    // The first tokens have expired.
    await redis.client.acl('SETUSER', USER, ...tokens.slice(0, 3).map((token) => `<${token}`));
    await redis.client.client('KILL', 'USER', USER);
    await eventually('requests are answered', () => answered(stack));
    for (const output of outputs(stack)) expect(output).not.toContain('entra-token');
  } finally {
    identity.close();
  }
}, 60_000);
