import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ALL, WITH_MESSAGES, chat, completions } from '../bad-requests/route.ts';
import { eventually } from '../support/eventually.ts';
import { dataUri, png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Text in prompts, pictures, picture URLs and keys; it must appear nowhere else. */
const CANARY = 'zanzibarcanary';
const CANARY_BASE64 = Buffer.from(CANARY.repeat(3)).toString('base64');

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    gatewayEnv: { GATEWAY_LOG_LEVEL: 'debug', GATEWAY_IMAGE_ALLOW: '127.0.0.1' },
    workerEnv: { WORKER_LOG_LEVEL: 'debug' },
  });
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

const picture = png(4, 4);
/** 15 MB that are not a picture and contain the canary everywhere */
const large = Buffer.alloc(14_999_996, CANARY_BASE64.slice(0, 40)).toString('latin1');
const user = (content: unknown): object[] => [{ role: 'user', content }];
const image = (url: string): object => ({ type: 'image_url', image_url: { url, x: 7 } });

const CONVERSATIONS: readonly (readonly [what: string, input: unknown])[] = [
  ['a number as text', user([image(`data:image/png;base64,${large}`), { type: 'text', text: 9 }])],
  ['an invalid picture', user([image(`data:image/png;base64,${large}`), { type: 'text', text: CANARY }])],
  ['a picture and an unknown part', user([image(dataUri(picture)), { type: CANARY.repeat(9), value: CANARY }])],
  ['a role of unknown length', [{ role: CANARY.repeat(20), content: CANARY }]],
  ['texts among the messages', [CANARY, CANARY]],
  ['a link without an answer', user([image(`http://127.0.0.1:1/${CANARY}?key=${CANARY}#${CANARY}`)])],
  ['a link with a password', user([image(`http://${CANARY}:${CANARY}@127.0.0.1:1/`)])],
  ['an invalid link', user([image(`http://[${CANARY}`)])],
  ['a picture that is a link', user([image(`${CANARY}/a.png`)])],
  ['a cut emoji', user(`${CANARY} \ud83d`)],
  ['too long a text', user(`${CANARY} `.repeat(200_000))],
];

/**
 * Everything that others than the client can read.
 * @param last id of the latest request, which must be in the log
 */
async function traces(last: string | null): Promise<string> {
  await eventually('the request is logged', () => last !== null && stack.gateways[0]?.output().includes(last));
  const logs = [...stack.gateways, ...stack.launchers].map(({ output }) => output());
  const pages = [...stack.gateways, ...stack.launchers].map(async ({ internalUrl }) =>
    Promise.all(['/metrics', '/status'].map(async (path) => (await fetch(internalUrl + path)).text())),
  );
  const { client } = stack.redis;
  const redis = [];
  for (const key of await client.keys('*')) {
    redis.push(key);
    const type = await client.type(key);
    if (type === 'string') redis.push(await client.get(key));
    if (type === 'hash') redis.push(JSON.stringify(await client.hgetall(key)));
    if (type === 'zset') redis.push(...(await client.zrange(key, '0', '-1')));
  }
  return [...logs, ...(await Promise.all(pages)).flat(), ...redis].join('\n');
}

test.each(CONVERSATIONS)(
  '%s: the refusal and the log contain no word of prompt or picture',
  async (what, input) => {
    const parameters = what === 'a number as text' ? { temperature: 'hot' } : {};
    let last: string | null = null;
    for (const route of WITH_MESSAGES) {
      const { status, headers, text } = await postJson(stack.url + route.path, {
        ...route.withInput(input),
        ...parameters,
      });
      last = headers.get('x-request-id');
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(Buffer.byteLength(text)).toBeLessThan(2_000);
      expect(text).not.toContain(CANARY_BASE64.slice(0, 20));
      expect(text).not.toContain(CANARY.repeat(2));
      expect(text).not.toContain('"input":');
    }
    const found = await traces(last);
    expect(found).not.toContain(CANARY);
    expect(found).not.toContain(CANARY_BASE64.slice(0, 20));
  },
  60_000,
);

test('JSON that is truncated inside a picture or a prompt is not quoted', async () => {
  let last: string | null = null;
  for (const route of ALL) {
    const cut = JSON.stringify(route.withInput(user([image(`data:image/png;base64,${large}`)]))).slice(0, 9_000_000);
    for (const body of [cut, `{"prompt": "${CANARY}`, `${CANARY}`]) {
      const { headers, text } = await postJson(stack.url + route.path, body);
      last = headers.get('x-request-id');
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'invalid_json' } });
      expect(Buffer.byteLength(text)).toBeLessThan(2_000);
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain(CANARY_BASE64.slice(0, 20));
    }
  }
  const found = await traces(last);
  expect(found).not.toContain(CANARY);
  expect(found).not.toContain(CANARY_BASE64.slice(0, 20));
}, 60_000);

test('a valid or invalid key and an answered prompt leave no trace either', async () => {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${CANARY}`, 'api-key': CANARY };
  const bodies = [
    [chat.path, { messages: user(CANARY), max_tokens: 2 }],
    [completions.path, { prompt: CANARY, max_tokens: 2, stop: [CANARY] }],
    [chat.path, { messages: user(CANARY), stop: [CANARY, ''] }],
    [completions.path, { prompt: [CANARY, CANARY] }],
    [completions.path, { prompt: CANARY, model: CANARY }],
  ] as const;
  let last: string | null = null;
  for (const [path, body] of bodies) {
    const answer = await fetch(stack.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    expect([200, 400, 404]).toContain(answer.status);
    await answer.text();
    last = answer.headers.get('x-request-id');
  }
  expect(await traces(last)).not.toContain(CANARY);
});
