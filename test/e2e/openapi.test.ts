import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { penstock } from '../support/penstock-command.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

const Document = z.object({
  openapi: z.literal('3.1.0'),
  paths: z.record(z.string(), z.record(z.string(), z.looseObject({ requestBody: z.unknown().optional() }))),
});
const Examples = z.object({
  content: z.object({
    'application/json': z.object({ examples: z.record(z.string(), z.object({ value: z.unknown() })) }),
  }),
});
const Refused = z.object({ error: z.object({ code: z.string() }) });

const folder = temporaryFolder();
let stack: Stack;
let key: string;
beforeAll(async () => {
  const file = join(folder.path, 'keys.yaml');
  const { stdout } = await penstock(['keys', 'create', '--file', file, '--id', 'reader']);
  key = stdout.trim();
  stack = await startStack({ gatewayEnv: { GATEWAY_KEYS_FILE: file, GATEWAY_TOKENIZE: 'true' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function send(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const all = { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers };
  return fetch(stack.url + path, {
    headers: all,
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
}

test('every example of the document is a valid request', async () => {
  const { paths } = Document.parse(await (await send('/openapi.json')).json());
  const seen: (readonly [string, number])[] = [];
  for (const [path, { post }] of Object.entries(paths)) {
    const body = Examples.safeParse(post?.requestBody);
    if (!body.success) continue;
    for (const [name, { value }] of Object.entries(body.data.content['application/json'].examples)) {
      const answer = await send(path.replace('{deployment}', 'azureai'), value);
      await answer.text();
      seen.push([`${path} ${name}`, answer.status]);
    }
  }
  expect(seen.length).toBeGreaterThan(20);
  expect(seen.filter(([, status]) => status !== 200)).toEqual([]);
});

test('the documents need a key like all other routes; the page that asks for it needs none', async () => {
  for (const path of ['/openapi.json', '/swagger.json']) {
    expect([path, (await fetch(stack.url + path)).status]).toEqual([path, 401]);
    expect([path, (await send(path)).status]).toEqual([path, 200]);
  }
  for (const path of ['/docs', '/docs/swagger-ui.css', '/docs/start.js'])
    expect([path, (await fetch(stack.url + path)).status]).toEqual([path, 200]);
});

test('the page loads nothing from another host, and its parts exist', async () => {
  const page = await send('/docs');
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
  const html = await page.text();
  expect(html).not.toMatch(/https?:/);
  const parts = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = '']) => path);
  expect(parts).toHaveLength(3);
  for (const path of parts) {
    const part = await send(path);
    expect([path, part.status, (await part.text()).length > 50]).toEqual([path, 200, true]);
  }
  for (const path of ['/docs/package.json', '/docs/..%2Fpackage.json'])
    expect([path, (await send(path)).status]).toEqual([path, 404]);
});

test('a reused idempotency key is refused in each API’s form', async () => {
  const hi = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 };
  const { client } = stack.redis;
  const seen = [];
  for (const path of ['/chat/completions', '/openai/v1/chat/completions', '/v1/messages']) {
    const once = { 'idempotency-key': 'k' };
    expect((await send(path, hi, once)).status).toBe(200);
    await client.del(await client.keys('*:answer:post_*'));
    for (const body of [hi, { ...hi, max_tokens: 3 }]) {
      const again = await send(path, body, once);
      seen.push([again.status, Refused.parse(await again.json()).error.code, again.headers.has('x-ms-error-code')]);
    }
  }
  const refusals = [
    [409, 'idempotency_spent'],
    [422, 'idempotency_mismatch'],
  ];
  expect(seen).toEqual([true, false, false].flatMap((isAzure) => refusals.map((refusal) => [...refusal, isAzure])));
});
