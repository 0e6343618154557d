import { expect, test } from '@jest/globals';
import type { ChatRequest } from '../../../gateway/request/chat.ts';
import { parseDataUri } from '../../../gateway/images/data-uri.ts';
import { createImageResolver } from '../../../gateway/request/resolve-images.ts';
import { chatRequest } from '../../support/chat-request.ts';
import { dataUri, gif, jpeg, png, pngHead, webp } from '../../support/pictures.ts';
import { resolvePictures } from '../../support/resolved.ts';

const PARAM = 'messages[0].content[1].image_url.url';
const resolver = createImageResolver({ allow: [], timeoutMs: 1_000, limitBytes: 15_000_000, limitPixels: 25_000_000 });
const never = new AbortController().signal;

function withPicture(...urls: string[]): ChatRequest {
  const parts = urls.map((url) => ({ type: 'image_url' as const, image_url: { url } }));
  return chatRequest({
    messages: [{ role: 'user', content: [{ type: 'text', text: 'what is it?' }, ...parts] }],
  });
}
test('N2: base64 of any length is checked to its last character, at any alignment in memory', async () => {
  const head = Buffer.from('image/png;base64,');
  for (let offset = 0; offset < 8; offset += 1)
    for (const base64 of ['Ww==', 'Ww8=', 'AAAA', 'AAAAWw==', 'AAAAAAAAAAAAAAAA']) {
      const whole = Buffer.concat([Buffer.alloc(offset), head, Buffer.from(base64)]).subarray(offset);
      expect(await parseDataUri(whole, PARAM, never)).toMatchObject({ bytes: Buffer.from(base64, 'base64').length });
      for (let at = 0; at < base64.indexOf('=') || (!base64.includes('=') && at < base64.length); at += 1) {
        const wrong = Buffer.from(whole).fill('*', head.length + at, head.length + at + 1);
        await expect(parseDataUri(wrong, PARAM, never)).rejects.toMatchObject({ code: 'invalid_image' });
      }
    }
});

const resolve = (url: string) => resolvePictures(resolver, withPicture(url), never);

test.each([
  ['png', png(30, 20)],
  ['jpeg', jpeg(30, 20)],
  ['jpeg', jpeg(30, 20, 180_000)],
  ['gif', gif(30, 20)],
  ['webp', webp(30, 20)],
])('a %s is recognised by its bytes, whatever type it claims', async (type, bytes) => {
  const { request, images } = await resolve(dataUri(bytes, 'image/x-wrong'));
  expect(images).toEqual([{ param: PARAM, type, width: 30, height: 20, bytes: bytes.length }]);
  expect(request).toEqual(withPicture(dataUri(bytes, `image/${type}`)));
});

test('the scheme may be in capitals, the type may lack its subtype', async () => {
  const base64 = png(1, 1).toString('base64');
  for (const head of [
    'DATA:image/PNG;base64,',
    'data:image;base64,',
    'data:;BASE64,',
    'data:image/png;name=a.png;base64,',
  ])
    expect((await resolve(head + base64)).request).toEqual(withPicture(`data:image/png;base64,${base64}`));
});

const whole = png(40, 40).toString('base64');
test.each([
  ['line breaks', `data:image/png;base64,${whole.replace(/.{76}/g, '$&\n')}`, 'white space'],
  ['the URL-safe alphabet', `data:image/png;base64,${whole.slice(0, -8)}-_-_-_-_`, 'URL-safe'],
  ['D4: a line feed at its end', `data:image/png;base64,${whole}\n`, 'white space in its base64: a line break'],
  ['D4: a line feed behind padding', `data:image/png;base64,${png(40, 41).toString('base64')}\n`, 'a line break'],
  ['D4: a blank at its end', `data:image/png;base64,${whole} `, 'white space in its base64;'],
  ['a wrong character', `data:image/png;base64,${whole.slice(0, -8)}@@@@@@@@`, 'an invalid character'],
  ['no padding', `data:image/png;base64,${png(40, 41).toString('base64').replace(/=*$/, '')}A`, 'cut short'],
  ['nothing after the comma', 'data:image/png;base64,', 'cut short'],
  ['padding in the middle', `data:image/png;base64,AAAA=AAA`, 'an invalid character'],
  ['a URI that is not base64', 'data:image/png,%89PNG', 'not base64'],
  ['base64 alone', whole, 'neither an http(s) URL'],
  ['a bare word', 'picture.png', 'neither an http(s) URL'],
])('%s: refused with the correct form', async (_name, url, words) => {
  const failure = resolve(url);
  await expect(failure).rejects.toMatchObject({ code: 'invalid_image', status: 400, options: { param: PARAM } });
  await expect(failure).rejects.toThrow(words);
  await expect(failure).rejects.toThrow('data:image/png;base64,…');
});

test.each([
  ['SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), 'SVG or HTML'],
  ['HTML', Buffer.from('\n<!doctype html><html></html>'), 'SVG or HTML'],
  ['a cut PNG header', png(9, 9).subarray(0, 20), 'is a PNG picture that is cut short'],
  ['a JPEG without a frame', jpeg(9, 9).subarray(0, 12), 'is a JPEG picture that is cut short'],
  ['a BMP', Buffer.from('BM6\0\0\0\0\0\0\x006\0\0\0(\0\0\0\x01\0\0\0\x01\0\0\0', 'latin1'), 'is not a PNG, JPEG,'],
  ['a PNG without extent', png(0, 9), 'is a PNG picture of 0 by 9 pixels'],
  ['a text', Buffer.from('hello, this is not a picture'), 'is not a PNG, JPEG, WebP or GIF picture'],
])('%s is not a picture for this model', async (_name, bytes, words) => {
  const failure = resolve(dataUri(bytes));
  await expect(failure).rejects.toMatchObject({ code: 'invalid_image', options: { param: PARAM } });
  await expect(failure).rejects.toThrow(words);
});

test('N7: a picture over the limit of bytes or of pixels is too large, not a server’s fault', async () => {
  const small = createImageResolver({ allow: [], timeoutMs: 1_000, limitBytes: 60, limitPixels: 99 });
  await expect(resolvePictures(small, withPicture(dataUri(png(50, 50))), never)).rejects.toMatchObject({
    code: 'image_too_large',
    status: 413,
    options: { param: PARAM, allowed: 60 },
  });
  const message = `${PARAM} has 5001 by 5000, 25005000 pixels; at most 25000000 are taken: send it smaller`;
  const options = { param: PARAM, asked: 25_005_000, allowed: 25_000_000 };
  for (const picture of [gif(5_001, 5_000), jpeg(5_001, 5_000), webp(5_001, 5_000), pngHeader(5_001, 5_000)])
    await expect(resolve(dataUri(picture))).rejects.toMatchObject({ code: 'image_too_large', message, options });
  expect((await resolve(dataUri(jpeg(5_000, 5_000)))).images[0]).toMatchObject({ width: 5_000, height: 5_000 });
});

/** A PNG header of this many pixels with the data of a small picture: some hundred bytes. */
function pngHeader(width: number, height: number): Buffer {
  return Buffer.concat([png(1, 1).subarray(0, 8), pngHead(width, height), png(9, 9).subarray(33)]);
}

test('several pictures keep their places', async () => {
  const { images } = await resolvePictures(resolver, withPicture(dataUri(png(1, 2)), dataUri(gif(3, 4))), never);
  expect(images.map(({ param, width }) => [param, width])).toEqual([
    ['messages[0].content[1].image_url.url', 1],
    ['messages[0].content[2].image_url.url', 3],
  ]);
});

test('a conversation without pictures is returned unchanged', async () => {
  const request = withPicture();
  expect(await resolvePictures(resolver, request, never)).toEqual({ request, images: [] });
});

test('each picture stays in its own message, whatever their places are called', async () => {
  const [first, second] = [dataUri(png(1, 2)), dataUri(png(3, 4))];
  const place = 'x';
  const messages = [first, second].flatMap((url) => withPicture(url).messages.map((one) => ({ ...one, place })));
  const { images, request } = await resolvePictures(resolver, chatRequest({ messages }), never);
  expect(images.map(({ width }) => width)).toEqual([1, 3]);
  const part = (url: string) => ({ content: [{ type: 'text' }, { image_url: { url } }] });
  expect(request).toMatchObject({ messages: [part(first), part(second)] });
});

test('20 MB of base64 are checked in short runs of the event loop', async () => {
  const bytes = Buffer.alloc(14_900_000, 1);
  png(64, 64).copy(bytes);
  let turns = 0;
  let watching = true;
  const watch = (): void => {
    turns += 1;
    if (watching) setImmediate(watch);
  };
  setImmediate(watch);
  const { images } = await resolve(dataUri(bytes));
  watching = false;
  expect(images[0]).toMatchObject({ width: 64, bytes: 14_900_000 });
  expect(turns).toBeGreaterThan(5);
});

test('a caller who leaves ends the check with that reason', async () => {
  const gone = new Error('gone');
  await expect(resolvePictures(resolver, withPicture(dataUri(png(1, 1))), AbortSignal.abort(gone))).rejects.toBe(gone);
});
