import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { penstock } from '../support/penstock-command.ts';
import { startStack, type Stack } from '../support/stack.ts';

const Facts = z.looseObject({ id: z.string(), key: z.string(), state: z.string() });
const WORD = 'zanzibarcanary';
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workerEnv: { PENSTOCK_SIM_ITL_MS: '500' } });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const start = async (): Promise<string> => {
  const body = { input: `Tell me of ${WORD}.`, max_output_tokens: 400, background: true };
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${stack.url}/v1/responses`, { method: 'POST', headers, body: JSON.stringify(body) });
  return z.object({ id: z.string() }).parse(await response.json()).id;
};
const run = (...words: string[]) =>
  penstock(['answers', ...words, '--gateway-url', stack.gateways[0]?.internalUrl ?? '']);

test('penstock answers lists, shows, cancels and deletes kept responses, without their words', async () => {
  const [first, second] = [await start(), await start()];
  const listed = await run('list');
  expect([listed.code, listed.stderr]).toEqual([0, '']);
  expect(listed.stdout).toMatch(new RegExp(`^id .*\n(.*${first}.*\n.*${second}|.*${second}.*\n.*${first})`));
  const shown = await run('show', first, '--json');
  expect(Facts.parse(JSON.parse(shown.stdout))).toMatchObject({ id: first, key: 'anonymous', background: true });
  const cancelled = await run('cancel', first, '--json');
  expect(Facts.parse(JSON.parse(cancelled.stdout)).state).toBe('cancelled');
  const rest = await run('list', '--state', 'cancelled', '--json');
  expect(Facts.parse(JSON.parse(rest.stdout)).id).toBe(first);
  expect((await run('delete', second)).code).toBe(0);
  await eventually('it is gone', async () => (await run('show', second)).code === 1);
  for (const { stdout, stderr } of [listed, shown, cancelled, rest]) expect(stdout + stderr).not.toContain(WORD);
});

test.each([
  [['show', 'resp_none'], 1, /no answer "resp_none" is kept/],
  [['list', '--state', 'gone'], 2, /state/],
  [['show'], 2, /is not list, show ID, cancel ID or delete ID/],
  [['burn', 'x'], 2, /is not list/],
])('penstock answers %j ends with %i and a sentence', async (words, code, sentence) => {
  const ended = await run(...words);
  expect([ended.code, ended.stdout]).toEqual([code, '']);
  expect(ended.stderr).toMatch(sentence);
});
