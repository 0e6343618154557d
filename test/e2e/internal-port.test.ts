import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { penstock } from '../support/penstock-command.ts';
import { rawHttp } from '../support/raw-http.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const folder = temporaryFolder();
let stack: Stack;
beforeAll(async () => {
  const file = `${folder.path}/keys.yaml`;
  await penstock(['keys', 'create', '--file', file, '--id', 'mine']);
  stack = await startStack({
    launchers: 0,
    gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_HOSTS: 'gateway.internal' },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** @param headers lines of the head @returns the status */
async function ask(line: string, ...headers: string[]): Promise<number> {
  const url = stack.gateways[0]?.internalUrl ?? '';
  const { status, socket } = rawHttp(url, [`${line} HTTP/1.1`, ...headers, 'connection: close', '', ''].join('\r\n'));
  const answered = await status;
  socket.destroy();
  return answered;
}
const ABOUT_KEYS = [
  ['GET /usage', 200],
  ['GET /answers', 200],
  ['GET /answers/resp_1', 404],
  ['POST /answers/resp_1/cancel', 404],
  ['DELETE /answers/resp_1', 404],
  ['GET /webhooks', 200],
  ['POST /webhooks/evt_1/redeliver', 404],
] as const;

test.each(ABOUT_KEYS)('with keys, a page of another site gets nothing of %s', async (line, own) => {
  const foreign = [
    ['host: evil.example'],
    ['host: localhost', 'origin: https://evil.example'],
    ['host: localhost', 'sec-fetch-site: cross-site'],
  ];
  for (const headers of foreign) expect([headers, await ask(line, ...headers)]).toEqual([headers, 403]);
  for (const host of ['localhost', '127.0.0.1', 'gateway.internal'])
    expect([host, await ask(line, `host: ${host}`)]).toEqual([host, own]);
});

test.each(['/livez', '/startupz', '/readyz', '/metrics', '/status'])('%s answers to any name', async (path) => {
  expect(await ask(`GET ${path}`, 'host: penstock-gateway-internal.ns.svc:9090')).toBe(200);
});
