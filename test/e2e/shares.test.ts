import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call, type Call } from '../support/call.ts';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startScriptedStack, wholeAnswer, type ScriptedStack } from '../support/scripted-stack.ts';
import { temporaryFolder } from '../support/start-process.ts';

const folder = temporaryFolder();
const file = join(folder.path, 'keys.yaml');
const keys = new Map<string, string>();
let scripted: ScriptedStack;

async function create(id: string, weight: number, caps = ''): Promise<void> {
  const made = await penstock(['keys', 'create', '--file', file, '--id', id, '--weight', String(weight)]);
  keys.set(id, made.stdout.trim());
  if (caps !== '') await writeFile(file, `${(await readFile(file, 'utf8')).trimEnd()}\n    caps: ${caps}\n`);
}
beforeAll(async () => {
  await create('light', 1);
  await create('heavy', 8);
  await create('single', 1);
  await create('capped', 1, '{waiting_jobs: 3}');
  // One request at a time, so that only the queue decides which is next.
  scripted = await startScriptedStack({ slots: 1, gatewayEnv: { GATEWAY_KEYS_FILE: file } });
  scripted.script = async (res) => {
    await gate;
    res.setHeader('content-type', 'application/json').end(wholeAnswer('hello'));
  };
}, 60_000);
afterAll(async () => {
  await scripted[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** the engine answers while this gate is open */
let gate: Promise<void> = Promise.resolve();
let open: () => void = () => {};
function shut(): void {
  gate = new Promise((resolve) => {
    open = resolve;
  });
}
/** callers in the order of their answers */
let served: string[] = [];
function ask(id: string): Call {
  const body = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 256 };
  const key = { authorization: `Bearer ${keys.get(id) ?? ''}` };
  const asked = call(`${scripted.stack.url}/v1/chat/completions`, body, key);
  void asked.ended.then(({ status }) => status === 200 && served.push(id));
  return asked;
}
const someWait = (count: number) =>
  eventually(`${count} wait`, async () => (await scripted.stack.metric('penstock_queue_depth')) === count, 60_000);
/** Fills the only slot, so that later requests wait. */
async function occupy(): Promise<Call> {
  served = [];
  shut();
  const before = scripted.engine.requests.length;
  const asked = ask('single');
  await eventually('the engine is busy', () => scripted.engine.requests.length > before);
  return asked;
}

test('two keys of weights 1 and 8 that flood one engine are served one to eight', async () => {
  const first = await occupy();
  const flood = Array.from({ length: 90 }, () => [ask('light'), ask('heavy')]).flat();
  await someWait(flood.length);
  open();
  await Promise.all([first, ...flood].map(({ ended }) => ended));
  expect(served).toHaveLength(181);
  // By then all 90 of heavy are served; the first 81 have the ratio of both.
  const heavy = served.slice(1, 82).filter((id) => id === 'heavy').length;
  process.stdout.write(`of the first 81: heavy ${heavy}, light ${81 - heavy}\n`);
  expect(heavy).toBeGreaterThanOrEqual(70);
  expect(heavy).toBeLessThanOrEqual(74);
}, 120_000);

test('a key with one request is not starved by 500 waiting ones of another', async () => {
  await occupy();
  const flood = Array.from({ length: 500 }, () => ask('light'));
  await someWait(500);
  const late = ask('heavy');
  await someWait(501);
  open();
  expect((await late.ended).status).toBe(200);
  process.stdout.write(`answered before the late one: ${served.indexOf('heavy')}\n`);
  expect(served.indexOf('heavy')).toBeLessThan(5);
  await Promise.all(flood.map(({ ended }) => ended));
  expect(served).toHaveLength(502);
}, 120_000);

test('a key at its cap gets a 429 that names the cap, while others are served', async () => {
  const first = await occupy();
  const mine = Array.from({ length: 3 }, () => ask('capped'));
  await someWait(3);
  const refused = await ask('capped').ended;
  expect(refused.status).toBe(429);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect(refused.body).toContain('the key capped may have at most 3 requests waiting');
  expect(refused.body).toContain('waiting_jobs');
  const page = await (await fetch(`${scripted.stack.gateways[0]?.internalUrl ?? ''}/metrics`)).text();
  expect(page).toContain('penstock_admission_total{outcome="rejected_key_jobs"} 1');
  const other = ask('light');
  await someWait(4);
  open();
  for (const { ended } of [first, other, ...mine]) expect((await ended).status).toBe(200);
  expect((await ask('capped').ended).status).toBe(200);
});
