import { afterEach, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { promisify } from 'node:util';
import { portOf } from '../support/port-of.ts';

const CHECKS = 'charts/penstock/files/checks/checks.mjs';
const MODEL = 'Phi-3-vision-128k-instruct';
let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A gateway whose answers to each path are `statuses`, one after another; the last one stays. */
async function gateway(statuses: readonly number[]): Promise<string> {
  const asked = new Map<string, number>();
  server = createServer((req, res) => {
    const path = req.url ?? '';
    const count = asked.get(path) ?? 0;
    asked.set(path, count + 1);
    const status = statuses[Math.min(count, statuses.length - 1)] ?? 200;
    // The connection of the first request of a new Service breaks, because no pod is behind it yet.
    if (status === 0) req.socket.destroy();
    else res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ data: [{ id: MODEL }] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${portOf(server)}`;
}

async function check(url: string, withinSeconds: number) {
  const env = { ...process.env, PUBLIC_URL: url, INTERNAL_URL: url, MODELS: MODEL, KEY: 'key' };
  const options = { env: { ...env, WITHIN_SECONDS: String(withinSeconds) } };
  return promisify(execFile)(process.execPath, [CHECKS, 'api'], options).then(
    ({ stdout }) => stdout,
    (error: { stderr: string }) => `failed: ${error.stderr}`,
  );
}

test('helm test right after helm install waits for a gateway that is not ready', async () => {
  expect(await check(await gateway([0, 503, 200]), 60)).toBe(`ready; serves ${MODEL}\n`);
});

test('helm test fails immediately if waiting cannot help', async () => {
  const startedAt = performance.now();
  expect(await check(await gateway([401]), 600)).toBe('failed: /readyz answers 401\n');
  expect(performance.now() - startedAt).toBeLessThan(300_000);
});

test('a gateway that never answers fails the check, with the reason', async () => {
  const url = await gateway([0]);
  server?.close();
  await once(server ?? process, 'close');
  expect(await check(url, 5)).toMatch(/^failed: http:\S+\/readyz: .*ECONNREFUSED/);
});
