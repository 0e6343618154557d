import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { imageTokens } from '../../gateway/request/image-tokens.ts';
import { WITH_MESSAGES, chat, refusedOn, type Route } from '../bad-requests/route.ts';
import { phi3Card } from '../support/phi3-card.ts';
import { dataUri, gif, jpeg, jpegSegment, png, pngHead } from '../support/pictures.ts';
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

/** Sends one picture part; also returns the number of new jobs. */
async function ask(route: Route, part: object) {
  const before = await stack.metric('penstock_jobs_added_total');
  const messages = [{ role: 'user', content: [part, { type: 'text', text: 'What is this?' }] }];
  const answered = await postJson(stack.url + route.path, route.withInput(messages));
  return { ...answered, jobs: (await stack.metric('penstock_jobs_added_total')) - before };
}
const imageUrl = (url: string): object => ({ type: 'image_url', image_url: { url } });

test.each<readonly [string, object]>([
  ['as a text instead of an object', { type: 'image_url', image_url: dataUri(picture) }],
  ['with capitals in its scheme and type', imageUrl(`DATA:image/PNG;base64,${base64}`)],
  ['without its subtype', imageUrl(`data:image;base64,${base64}`)],
  ['under a wrong type', imageUrl(`data:image/jpeg;base64,${base64}`)],
])('the model sees a picture %s, on every route', async (_how, part) => {
  for (const route of WITH_MESSAGES) {
    const { status, text } = await ask(route, part);
    expect(status).toBe(200);
    expect(text).toContain('64 x 48');
  }
});

test('D1: the model sees a JPEG with a colour profile of 557 kB before its frame, on every route', async () => {
  const piece = jpegSegment(0xe2, Buffer.alloc(55_700, 'ICC_PROFILE\0\x01\x0a', 'latin1'));
  const photo = jpeg(64, 48, Buffer.concat(Array.from({ length: 10 }, () => piece)));
  for (const route of WITH_MESSAGES) {
    const { status, text } = await ask(route, imageUrl(dataUri(photo, 'image/jpeg')));
    expect(status).toBe(200);
    expect(text).toContain('JPEG picture of 64 x 48');
  }
});

test.each([
  ['a PNG of 100 bytes with a header of 179 megapixels', replaced(png(1, 1), pngHead(13_378, 13_377))],
  ['a GIF whose frame is larger than its screen', gifFrame(gif(10, 10), 5_001, 5_000)],
  ['a PNG whose second header counts', replaced(png(1, 1), Buffer.concat([pngHead(1, 1), pngHead(5_001, 5_000)]))],
])('N7: %s is too large by its true size, on every route, and creates no job', async (_what, bytes) => {
  for (const route of WITH_MESSAGES) {
    const { status, text, jobs } = await ask(route, imageUrl(dataUri(bytes)));
    expect([status, jobs]).toEqual([refusedOn(route.shape, 'image_too_large').status, 0]);
    expect(text).toMatch(/13378 by 13377, 178957506 pixels|5001 by 5000, 25005000 pixels/);
    expect(text).toContain('at most 25000000');
  }
});

/** with `head` instead of its header */
function replaced(bytes: Buffer, head: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, 8), head, bytes.subarray(33)]);
}
function gifFrame(bytes: Buffer, width: number, height: number): Buffer {
  bytes.writeUInt16LE(width, 30);
  bytes.writeUInt16LE(height, 32);
  return bytes;
}

test.each<readonly [string, object, string]>([
  ["in the model author's form", { type: 'image', image: `data:image;base64,${base64}` }, '.type'],
  ['as base64 alone', imageUrl(base64), '.image_url.url'],
  ['broken into lines of 76', imageUrl(`data:image/png;base64,${base64.replace(/.{76}/g, '$&\n')}`), '.image_url.url'],
  ['in the URL-safe alphabet', imageUrl(`data:image/png;base64,${base64.slice(0, -4)}-_-_`), '.image_url.url'],
])(
  'a picture %s is refused with its place and the correct form, and never just left out',
  async (_how, part, field) => {
    for (const route of WITH_MESSAGES) {
      const { text, jobs } = await ask(route, part);
      const { error } = Refused.parse(JSON.parse(text));
      expect([error.param, jobs]).toEqual([`${route.input}[0].content[0]${field}`, 0]);
      expect(error.message).toContain('data:image/png;base64,…');
      expect(text).not.toContain(base64.slice(40, 80));
    }
    const logs = [...stack.gateways, ...stack.launchers].map(({ output }) => output()).join('');
    expect(logs).not.toContain(base64.slice(40, 80));
  },
);

test.each([
  ['of one pixel', 1, 1, true],
  ['that is very wide', 6_000, 1, false],
  ['that is very tall', 336, 5_400, true],
  ['of the widest shape that can be tiled', 5_376, 1, true],
  ['one pixel wider than that', 5_377, 1, false],
])('a picture %s (%i by %i) does no harm to the next request', async (_what, width, height, served) => {
  const formula = phi3Card().tokens.image;
  if (formula === undefined) throw new Error('the card has no image tokens');
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
