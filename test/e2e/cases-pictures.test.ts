import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { imageTokens } from '../../gateway/admission/image-tokens.ts';
import { WITH_MESSAGES, chat, refusedOn, type Route } from '../bad-requests/route.ts';
import { phi3Card } from '../support/phi3-card.ts';
import { dataUri, png } from '../support/pictures.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const picture = png(64, 48);
const base64 = picture.toString('base64');
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string(), param: z.string() }) });
const Counted = z.object({
  usage: z.object({ prompt_tokens_details: z.object({ multimodal_tokens: z.object({ image: z.number() }) }) }),
});

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

/** Asks about one picture part and says by how many the jobs moved. */
async function ask(route: Route, part: object) {
  const before = await stack.metric('penstock_jobs_added_total');
  const messages = [{ role: 'user', content: [part, { type: 'text', text: 'What is this?' }] }];
  const answered = await postJson(stack.url + route.path, route.withInput(messages));
  return { ...answered, jobs: (await stack.metric('penstock_jobs_added_total')) - before };
}
const imageUrl = (url: string): object => ({ type: 'image_url', image_url: { url } });

test.each<readonly [string, object]>([
  ['as a text in place of an object', { type: 'image_url', image_url: dataUri(picture) }],
  ['with capitals in its scheme and type', imageUrl(`DATA:image/PNG;base64,${base64}`)],
  ['without the second half of its type', imageUrl(`data:image;base64,${base64}`)],
  ['under a wrong type', imageUrl(`data:image/jpeg;base64,${base64}`)],
])('a picture %s is seen by the model, on every route', async (_how, part) => {
  for (const route of WITH_MESSAGES) {
    const { status, text } = await ask(route, part);
    expect(status).toBe(200);
    expect(text).toContain('64 x 48');
  }
});

test.each<readonly [string, object, string]>([
  ["in the model author's form", { type: 'image', image: `data:image;base64,${base64}` }, '.type'],
  ['as base64 alone', imageUrl(base64), '.image_url.url'],
  ['broken into lines of 76', imageUrl(`data:image/png;base64,${base64.replace(/.{76}/g, '$&\n')}`), '.image_url.url'],
  ['in the URL-safe alphabet', imageUrl(`data:image/png;base64,${base64.slice(0, -4)}-_-_`), '.image_url.url'],
])('a picture %s is refused by its place, with the right form, and never just left out', async (_how, part, field) => {
  for (const route of WITH_MESSAGES) {
    const { text, jobs } = await ask(route, part);
    const { error } = Refused.parse(JSON.parse(text));
    expect([error.param, jobs]).toEqual([`${route.input}[0].content[0]${field}`, 0]);
    expect(error.message).toContain('data:image/png;base64,…');
    expect(text).not.toContain(base64.slice(40, 80));
  }
  const logs = [...stack.gateways, ...stack.launchers].map(({ output }) => output()).join('');
  expect(logs).not.toContain(base64.slice(40, 80));
});

test.each([
  ['of one pixel', 1, 1, true],
  ['that is very wide', 6_000, 1, false],
  ['that is very tall', 336, 5_400, true],
  ['of the widest shape that can be tiled', 5_376, 1, true],
  ['one pixel wider than that', 5_377, 1, false],
])('a picture %s (%i by %i) does no harm to who comes next', async (_what, width, height, served) => {
  const formula = phi3Card().tokens.image;
  if (formula === undefined) throw new Error('the card counts no image tokens');
  for (const route of WITH_MESSAGES) {
    const [odd, next] = await Promise.all([
      ask(route, imageUrl(dataUri(png(width, height)))),
      ask(route, imageUrl(dataUri(picture))),
    ]);
    expect(next.status).toBe(200);
    expect(odd.status).toBe(served ? 200 : refusedOn(route.shape, 'invalid_image').status);
    if (!served) expect(JSON.parse(odd.text)).toMatchObject({ error: { code: 'invalid_image', allowed: 5_376 } });
    else if (route === chat)
      expect(Counted.parse(JSON.parse(odd.text)).usage.prompt_tokens_details.multimodal_tokens.image).toBe(
        imageTokens(formula, width, height),
      );
  }
  expect(await restarts()).toBe(0);
});

async function restarts(): Promise<number> {
  const page = await (await fetch(`${stack.launchers[0]?.internalUrl ?? ''}/metrics`)).text();
  const samples = page.split('\n').filter((line) => line.startsWith('penstock_engine_restarts_total'));
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
