import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { setFaults } from '../support/engine-request.mjs';
import { post } from '../support/chat-client.ts';
import { eventually } from '../support/eventually.ts';
import { startStack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const PICTURE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** Only a second loss of an engine brings them, or a content filter. */
const RARE = new Set(['cause', 'repeats', 'filtered', 'promptCheckMs', 'answerCheckMs']);

/** Names in the table of a request's log line, and in the sentence above it. */
const documented = (): Set<string> => {
  const section = readFileSync('deploy/operations.md', 'utf8').split('\n## Log lines\n')[1]?.split('\n## ')[0] ?? '';
  const [sentence = '', table = ''] = section.split('\n| field | meaning |\n');
  const cells = (table.split('\n\n')[0] ?? '').split('\n').slice(1);
  const named = [...cells.map((row) => row.split('|')[1] ?? ''), /Every line has .*/.exec(sentence)?.[0] ?? ''];
  return new Set(named.flatMap((text) => [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name)));
};

test("each field of a request's log line is in the operators' table, and no other", async () => {
  await using stack = await startStack();
  await setFaults((await stack.status()).workers[0]?.engines[0] ?? {}, { 'cut-after': 6, times: 1 });
  const url = `${stack.url}/v1/chat/completions`;
  const question = { model: MODEL, max_tokens: 12, messages: [{ role: 'user', content: 'hi' }] };
  const content = [{ type: 'image_url', image_url: { url: PICTURE } }];
  await (await post(url, { ...question, stream: true, unknown_field: 1, service_tier: 'flex' })).text();
  await (await post(url, { ...question, messages: [{ role: 'user', content }] })).text();
  await (await post(url, { ...question, messages: [] })).text();
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const headers = { 'content-type': 'application/json', 'idempotency-key': 'once', traceparent };
  for (let n = 0; n < 2; n += 1)
    await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(question) })).text();

  const lines = (): Record<string, unknown>[] =>
    (stack.gateways[0]?.output() ?? '')
      .split('\n')
      .filter((line) => line.includes('"event":"request"'))
      .map((line) => z.record(z.string(), z.unknown()).parse(JSON.parse(line)));
  await eventually('each request has its line', () => lines().length === 5, 10_000);
  const seen = new Set(lines().flatMap((line) => Object.keys(line)));
  const told = documented();
  expect([...seen].filter((name) => !told.has(name))).toEqual([]);
  expect([...told].filter((name) => !seen.has(name) && !RARE.has(name))).toEqual([]);
});
