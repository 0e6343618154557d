import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { z } from 'zod';
import { askEngine } from '../support/engine-request.mjs';
import { listeningPorts } from '../support/listening-ports.ts';
import { dataUri, png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import type { Stack } from '../support/stack.ts';
import { testedEngine } from '../support/tested-engine.ts';

/** Where an engine can be reached, and how its own tokenizer reads texts from the gateway. */
const engine = testedEngine();
const ofTokenizer = engine.name === 'vllm' ? test : test.skip;
const Counted = z.object({ tokens: z.array(z.number()) });
const IMAGE_TOKEN = 32_044;
/** one crop of 336 pixels and the whole picture: (1 + 1) * 144 + 1 + (1 + 1) * 12 */
const PICTURE_TOKENS = 313;

jest.setTimeout(2 * engine.answerWithinMs);
let stack: Stack;
beforeAll(async () => {
  stack = await engine.start();
}, engine.startWithinMs + 30_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
}, 90_000);

const entry = async () => {
  const found = (await stack.status()).workers[0]?.engines[0];
  if (found === undefined) throw new Error('the stack has no engine');
  return found;
};
const isSpecial = (id: number): boolean => engine.specialTokens.some((token) => token.id === id);

/** Tokens that the gateway's route counts. */
async function through(body: object): Promise<number[]> {
  const { status, text } = await postJson(`${stack.url}/tokenize`, body);
  expect([status, text.slice(0, 300)]).toEqual([200, expect.anything()]);
  return Counted.parse(JSON.parse(text)).tokens;
}
const control = async (body: object): Promise<number[]> => (await through(body)).filter(isSpecial);
/** The engine's own tokens of a text, without the gateway. */
async function directly(prompt: string): Promise<number[]> {
  const answer = await askEngine(await entry(), '/tokenize', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, add_special_tokens: false }),
  });
  return Counted.parse(await answer.json()).tokens;
}
/** The answer of a port to an HTTP request, until it closes the connection or half a second has passed. */
async function calledOn(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.end('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 500))]);
  socket.destroy();
  return answer;
}
const said = (content: unknown): object => ({ messages: [{ role: 'user', content }] });

test('N13: the engine answers on its socket, and on no TCP port', async () => {
  const { socket, pid } = await entry();
  expect(socket).toMatch(/\/engine-0\.\d+\.sock$/);
  for (const path of ['/health', '/metrics', '/v1/models']) {
    const answer = await askEngine({ socket }, path);
    await answer.text();
    expect([path, answer.status]).toEqual([path, 200]);
  }
  // Its processes may talk to each other over ports, but none of these speaks HTTP.
  const ports = listeningPorts(pid ?? 0);
  const answers = await Promise.all(ports.map(async (port) => ({ port, said: await calledOn(port) })));
  process.stdout.write(`${engine.name}: ${ports.length} TCP ports are listened on\n`);
  expect(answers.filter(({ said }) => said.includes('HTTP/'))).toEqual([]);
});

ofTokenizer('N6: without the gateway each special token in a text is itself; through it, none is', async () => {
  expect(engine.specialTokens.length).toBeGreaterThan(60);
  for (const { id, content } of engine.specialTokens.slice(0, 10)) expect(await directly(`a ${content}`)).toContain(id);
  const all = engine.specialTokens.map(({ content }) => content);
  const usual = await control(said('Hi'));
  for (const written of [all.join(''), all.join(' '), all.map((token) => `x${token}\n`).join('')])
    expect(await control(said(written))).toEqual(usual);
  expect(await control({ prompt: all.join(' '), add_special_tokens: false })).toEqual([]);
});

ofTokenizer('N6: nor inside and across each other, in other spellings, split over parts, or in names', async () => {
  const usual = await control(said('Hi'));
  for (const written of [
    '<|<|user|>user|>',
    '<<|user|>|user|>',
    '<|USER|>',
    '<| user |>',
    ' <|user|> ',
    '<|us\u200Ber|>',
  ])
    expect([written, await control(said(written))]).toEqual([written, usual]);
  for (const parts of [
    ['<|us', 'er|>'],
    ['<', '|', 'user', '|', '>'],
    ['<s', '>', '</', 's>'],
  ])
    expect(await control(said(parts.map((text) => ({ type: 'text', text }))))).toEqual(usual);
  const named = { messages: [{ role: 'user', name: '<|system|>', content: 'Hi' }] };
  expect(await control(named)).toEqual(usual);
});

ofTokenizer('N6: a placeholder is no picture, beside one or alone', async () => {
  const picture = { type: 'image_url', image_url: { url: dataUri(png(64, 48)) } };
  const images = async (content: unknown): Promise<number> =>
    (await through(said(content))).filter((id) => id === IMAGE_TOKEN).length;
  for (const text of ['What is it?', '<|image_1|> What is it?', '<|image|><|image_2|> <|image_１|> What?'])
    expect([text, await images([picture, { type: 'text', text }])]).toEqual([text, PICTURE_TOKENS]);
  expect(await images('<|image_1|><|image|> What is it?')).toBe(0);
});

ofTokenizer('N6: the engine reads the text as it was written, except for the break', async () => {
  const tokens = await through({ prompt: 'a <|user|> b', add_special_tokens: false });
  const answer = await askEngine(await entry(), '/detokenize', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ tokens }),
  });
  expect(z.object({ prompt: z.string() }).parse(await answer.json()).prompt).toBe('a <\u200B|user|> b');
});

ofTokenizer('N6: ids of special tokens are refused in a prompt, except the begin token', async () => {
  const ask = (prompt: readonly number[]) => postJson(`${stack.url}/v1/completions`, { prompt, max_tokens: 1 });
  for (const { id, content } of engine.specialTokens)
    expect([content, (await ask([450, id])).status]).toEqual([content, content === '<s>' ? 200 : 400]);
});
