import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { auditLines, type AuditLine } from '../support/audit-lines.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const WORD = 'zanzibarcanary';
const USER = { kind: 'user', name: userInfo().username };
const folder = temporaryFolder();
const keyFile = join(folder.path, 'keys.yaml');
const file = join(folder.path, 'audit.jsonl');
/** Secrets that were printed. */
const secrets: string[] = [];
let stack: Stack;

const keys = async (...words: string[]) => {
  const done = await penstock(['keys', ...words, '--file', keyFile], { env: { GATEWAY_AUDIT_FILE: file } });
  if (done.stdout.trim() !== '') secrets.push(done.stdout.trim());
  return done;
};
const linesOf = (program: string, act?: string): AuditLine[] =>
  auditLines(file).filter((line) => line.program === program && (act === undefined || line.act === act));
const Id = z.object({ id: z.string() });

beforeAll(async () => {
  expect((await keys('create', '--id', 'oslo')).code).toBe(0);
  stack = await startStack({
    gatewayEnv: { GATEWAY_KEYS_FILE: keyFile, GATEWAY_AUDIT_FILE: file, GATEWAY_AUDIT_REQUESTS: 'true' },
    workerEnv: { WORKER_AUDIT_FILE: '-', PENSTOCK_SIM_ITL_MS: '200' },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('a start records the names of its settings, and each card with its version and hash', () => {
  const [settings] = linesOf('gateway', 'settings.read');
  expect(settings).toMatchObject({ what: 'gateway', who: USER, result: 'done' });
  expect(settings?.['fields']).toContain('GATEWAY_KEYS_FILE');
  expect(JSON.stringify(settings)).not.toContain(keyFile);
  const card = { act: 'card.read', what: 'Phi-3-vision-128k-instruct', version: expect.any(String) };
  const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/);
  expect(linesOf('gateway', 'card.read')).toMatchObject([{ ...card, sha256 }]);
  const marked = (stack.launchers[0]?.output() ?? '').split('\n').filter((line) => line.startsWith('{"audit":1,'));
  expect(marked.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { program: 'worker-launcher', act: 'settings.read' },
    { program: 'worker-launcher', ...card, sha256 },
  ]);
});

test('each change of a key is recorded by the command, with its user, and by the gateway that takes it over', async () => {
  const hook = 'https://hooks.example.com/penstock';
  for (const words of [
    ['create', '--id', 'bergen', '--weight', '2'],
    ['set', '--id', 'bergen', '--weight', '3', '--models', 'azureai'],
    ['create', '--id', 'bergen', '--secondary'],
    ['webhook', 'bergen', hook],
    ['revoke', '--id', 'bergen', '--primary'],
    ['revoke', '--id', 'bergen'],
  ]) {
    expect((await keys(...words)).code).toBe(0);
    // Otherwise a gateway could read two changes as one.
    const count = linesOf('penstock keys').length;
    await eventually('the gateway took it over', () => linesOf('gateway').filter(isOfKeys).length === count - 1);
  }
  expect((await keys('revoke', '--id', 'bergen')).code).toBe(1);
  const expected = [
    { act: 'key.created', what: 'bergen', fields: expect.arrayContaining(['primary', 'weight']) },
    { act: 'key.changed', what: 'bergen', fields: expect.arrayContaining(['weight', 'models']) },
    { act: 'key.changed', what: 'bergen', fields: ['secondary'] },
    { act: 'key.changed', what: 'bergen', fields: ['webhook'] },
    { act: 'key.changed', what: 'bergen', fields: ['primary'] },
    { act: 'key.revoked', what: 'bergen' },
  ];
  expect(linesOf('penstock keys').slice(1)).toMatchObject([
    ...expected.map((line) => ({ ...line, who: USER, result: 'done' })),
    { act: 'key.revoked', what: 'bergen', who: USER, result: 'refused', why: expect.stringMatching(/no key bergen/) },
  ]);
  const who = { kind: 'file', name: `uid ${statSync(keyFile).uid}` };
  expect(linesOf('gateway').filter(isOfKeys)).toMatchObject(expected.map((line) => ({ ...line, who, result: 'done' })));
}, 180_000);
const isOfKeys = ({ act }: AuditLine): boolean => act.startsWith('key.');

test('an edit by hand is recorded, and one that cannot be used too', async () => {
  const good = readFileSync(keyFile, 'utf8');
  appendFileSync(keyFile, `\n  - {id: edited, primary: ${'ab'.repeat(32)}}\n`);
  await eventually('its line', () => linesOf('gateway', 'key.created').some(({ what }) => what === 'edited'));
  writeFileSync(keyFile, `keys: [{id: oslo, primary: ${WORD}}]`);
  await eventually('its line', () => linesOf('gateway', 'key_file.read').length > 0);
  expect(linesOf('gateway', 'key_file.read')).toMatchObject([{ what: keyFile, result: 'refused' }]);
  writeFileSync(keyFile, good);
  await eventually('the key is gone', () => linesOf('gateway', 'key.revoked').some(({ what }) => what === 'edited'));
});

test('a command that cannot write its line changes nothing', async () => {
  const before = readFileSync(keyFile, 'utf8');
  const { code, stderr, stdout } = await penstock([
    'keys',
    'create',
    '--id',
    'late',
    '--file',
    keyFile,
    '--audit-file',
    join(keyFile, 'x'),
  ]);
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/audit-file or GATEWAY_AUDIT_FILE: .* cannot be written \(ENOTDIR\)/);
  expect(readFileSync(keyFile, 'utf8')).toBe(before);
});

test('what operators and callers do to answers is recorded, with who did it', async () => {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${secrets[0] ?? ''}` };
  const body = JSON.stringify({ input: `Tell me of ${WORD}.`, max_output_tokens: 400, background: true });
  const begin = async (): Promise<string> =>
    Id.parse(await (await fetch(`${stack.url}/v1/responses`, { method: 'POST', headers, body })).json()).id;
  const [first, second, third] = [await begin(), await begin(), await begin()];
  const at = ['--gateway-url', stack.gateways[0]?.internalUrl ?? ''];
  expect((await penstock(['answers', 'cancel', first, ...at])).code).toBe(0);
  expect((await penstock(['answers', 'delete', second, ...at])).code).toBe(0);
  expect((await penstock(['answers', 'delete', 'resp_none', ...at])).code).toBe(1);
  expect((await penstock(['webhooks', 'redeliver', 'evt_none', ...at])).code).toBe(1);
  expect((await fetch(`${stack.url}/v1/responses/${third}`, { method: 'DELETE', headers })).status).toBe(200);
  const who = { kind: 'operator', name: USER.name, from: '127.0.0.1' };
  await eventually('the last line', () =>
    linesOf('gateway').some(({ act, what }) => act === 'answer.deleted' && what === third),
  );
  const acts = linesOf('gateway').filter(({ act }) => /^(answer|webhook)\./.test(act));
  expect(acts).toMatchObject([
    { act: 'answer.cancelled', what: first, who, result: 'done' },
    { act: 'answer.deleted', what: second, who, result: 'done' },
    { act: 'answer.deleted', what: 'resp_none', who, result: 'refused', why: 'answer_not_found' },
    { act: 'webhook.redelivered', what: 'evt_none', who, result: 'refused' },
    { act: 'answer.deleted', what: third, who: { kind: 'key', name: 'oslo' }, result: 'done' },
  ]);
}, 120_000);

test('each request has a line without its content', async () => {
  const headers = { 'content-type': 'application/json', 'api-key': secrets[0] ?? '', 'x-request-id': 'mine' };
  const question = { messages: [{ role: 'user', content: WORD }], max_tokens: 2 };
  const url = `${stack.url}/v1/chat/completions`;
  await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(question) })).text();
  await (await fetch(url, { method: 'POST', headers: { 'api-key': WORD }, body: '{}' })).text();
  const lines = (): AuditLine[] => linesOf('gateway', 'request').filter(({ path }) => path === '/v1/chat/completions');
  await eventually('two lines', () => lines().length === 2);
  const model = 'Phi-3-vision-128k-instruct';
  const tokens = { promptTokens: expect.any(Number), completionTokens: 2, totalMs: expect.any(Number) };
  expect(lines()).toMatchObject([
    { method: 'POST', status: 200, outcome: 'answered', keyId: 'oslo', callerRequestId: 'mine', model, ...tokens },
    { method: 'POST', status: 401, outcome: 'unauthorized', keyId: 'none' },
  ]);
});

test('no line has a key, a secret, a hash or a word of a prompt', () => {
  const text = readFileSync(file, 'utf8') + (stack.launchers[0]?.output() ?? '');
  expect(secrets.length).toBeGreaterThan(3);
  const hashes = [...readFileSync(keyFile, 'utf8').matchAll(/[0-9a-f]{64}/g)].map(([hash]) => hash);
  for (const secret of [WORD, ...secrets, ...hashes]) expect(text).not.toContain(secret);
});
