import { expect, test } from '@jest/globals';
import { PictureBytes } from '../../../gateway/intake/picture-bytes.ts';

test('JSON and pictures are joined again without copying the pictures', () => {
  const pictures = new PictureBytes();
  const [one, two] = [Buffer.from('AAAA'), Buffer.from('BBBB')];
  const [first, second] = [pictures.hold(one, true), pictures.hold(two, true)];
  const pieces = pictures.join(JSON.stringify({ b: `x${second}`, a: `${first}é`, c: first }));
  expect(Buffer.concat(pieces).toString()).toBe('{"b":"xBBBB","a":"AAAAé","c":"AAAA"}');
  expect(pieces[1]?.buffer).toBe(two.buffer);
});

test('a marker of another request has no effect', () => {
  const marker = new PictureBytes().hold(Buffer.from('secret'), true);
  const pictures = new PictureBytes();
  pictures.hold(Buffer.from('mine'), true);
  expect(pictures.find(marker)).toBeUndefined();
  expect(Buffer.concat(pictures.join(JSON.stringify(marker))).toString()).toBe(JSON.stringify(marker));
});

test('an unchecked picture never reaches an engine', () => {
  const pictures = new PictureBytes();
  const marker = pictures.hold(Buffer.from('image/png;base64,AAAA'), false);
  expect(pictures.find(`data:${marker}`)?.toString()).toBe('image/png;base64,AAAA');
  expect(() => pictures.join(JSON.stringify({ tools: [marker] }))).toThrow('in a field that takes no picture');
});
