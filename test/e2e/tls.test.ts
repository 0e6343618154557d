import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import createClient, { isUnexpected } from '@azure-rest/ai-inference';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Certificate } from '../../gateway/http/connection/certificate.ts';
import { Authority } from '../support/authority.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { silentLog } from '../support/silent-log.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const folder = temporaryFolder();
const authority = new Authority(folder.path);
const served = { certificate: join(folder.path, 'tls.crt'), key: join(folder.path, 'tls.key') };
const question = { max_tokens: 4, messages: [{ role: 'user', content: 'hi' }] };
let stack: Stack;
let port: number;
let key: string;
beforeAll(async () => {
  install(authority.issue());
  const keys = join(folder.path, 'keys.yaml');
  key = (await penstock(['keys', 'create', '--file', keys, '--id', 'mine'])).stdout.trim();
  stack = await startStack({
    gatewayEnv: {
      GATEWAY_KEYS_FILE: keys,
      GATEWAY_TLS_CERT_FILE: served.certificate,
      GATEWAY_TLS_KEY_FILE: served.key,
      GATEWAY_HEAD_TIMEOUT_MS: '1500',
    },
    workerEnv: { PENSTOCK_SIM_ITL_MS: '60' },
  });
  port = Number(new URL(stack.url).port);
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});
function install({ certificate, key: secret }: { readonly certificate: string; readonly key: string }): void {
  copyFileSync(certificate, served.certificate);
  copyFileSync(secret, served.key);
}
async function handshake(options = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: 'localhost', servername: 'localhost', ca: authority.pem, ...options });
  await once(socket, 'secureConnect');
  return socket;
}
async function serial(): Promise<string> {
  const socket = await handshake();
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

test.each([
  ['a key', () => ({ key })],
  [
    'a token, which it sends over TLS alone',
    () => ({ getToken: async () => ({ token: key, expiresOnTimestamp: Date.now() + 3_600_000 }) }),
  ],
])('Azure’s inference client works over https, with %s', async (_with, credential) => {
  const options = { tlsOptions: { ca: authority.pem }, credentials: { scopes: ['https://ml.azure.com/.default'] } };
  const client = createClient(`https://localhost:${port}`, credential(), options);
  const answer = await client.path('/chat/completions').post({ body: question });
  if (isUnexpected(answer)) throw new Error(JSON.stringify(answer.body));
  expect(answer.body.choices[0]?.message.content).not.toBe('');
});

test('plain HTTP, old TLS and a connection without a handshake get nothing, and are closed', async () => {
  const plain = connect(port, '127.0.0.1');
  const said: Buffer[] = [];
  plain.on('data', (bytes) => said.push(bytes)).on('error', () => {});
  plain.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(plain, 'close');
  expect(Buffer.concat(said).toString()).not.toContain('HTTP/1.1');
  await expect(handshake({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' })).rejects.toThrow();
  const silent = connect(port, '127.0.0.1');
  await once(silent, 'connect');
  const began = performance.now();
  silent.resume();
  await once(silent, 'close');
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('a new certificate is used without a restart, and a running stream goes on; a pair that does not fit is not used', async () => {
  const before = await serial();
  const [gateway] = stack.gateways;

  writeFileSync(served.key, 'no key');
  await eventually('the log says so', () => gateway?.output().includes('the previous one stays in use'));
  expect(await serial()).toBe(before);

  const body = JSON.stringify({
    ...question,
    max_tokens: 200,
    stream: true,
    messages: [{ role: 'user', content: 'a long story' }],
  });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const asked = request({
    host: 'localhost',
    port,
    path: '/v1/chat/completions',
    method: 'POST',
    ca: authority.pem,
    headers,
  });
  asked.end(body);
  const [answer] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
  let text = '';
  answer.on('data', (bytes: Buffer) => (text += bytes.toString()));
  await eventually('it streams', () => text.includes('data:'));
  install(authority.issue());
  await eventually('the new certificate', async () => (await serial()) !== before);
  expect(text.includes('[DONE]')).toBe(false);
  await once(answer, 'end');
  expect(text.slice(-16)).toMatch(/data: \[DONE\]\n\n$/);
}, 30_000);

test('files that do not fit are refused in a sentence, without a word of the key', () => {
  const [one, other] = [authority.issue(), authority.issue()];
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder.path, name), text);
    return join(folder.path, name);
  };
  const why = (certificate: string, secret: string): string => {
    try {
      return new Certificate({ certificate, key: secret }, silentLog).options.cert;
    } catch (error) {
      return String(error);
    }
  };
  expect(why(one.certificate, other.key)).toMatch(
    /GATEWAY_TLS_CERT_FILE, GATEWAY_TLS_KEY_FILE: the key does not belong/,
  );
  expect(why(one.key, one.key)).toMatch(/the first file holds no certificate in PEM/);
  expect(why(one.certificate, one.certificate)).toMatch(/the second file holds no private key in PEM/);
  expect(why(one.certificate, file('empty', ''))).toMatch(/the second file holds no private key in PEM/);
  expect(why(one.certificate, join(folder.path, 'absent'))).toMatch(/absent cannot be read \(ENOENT\)/);
  const expired = authority.issue(-1);
  expect(why(expired.certificate, expired.key)).toMatch(/the certificate was valid until 20/);
});
