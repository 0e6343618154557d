import { expect, test } from '@jest/globals';
import { imageTokens, readPicture } from '../../../../worker-launcher/simulator/pictures/image.ts';
import { jpeg, jpegSegment, png } from '../../../support/pictures.ts';

/** Counted by a real vLLM, or from its processor's formula. */
test.each([
  [16, 1000, 1000, 2509],
  [16, 1600, 1200, 1921],
  [16, 1920, 1080, 2353],
  [16, 1080, 1920, 2377],
  [16, 2480, 3508, 1933],
  [12, 1600, 1200, 1921],
  [9, 1920, 1080, 1045],
  [6, 1080, 1920, 1057],
  [4, 640, 480, 757],
  [4, 3000, 1000, 601],
  [4, 1, 1, 757],
  [1, 1600, 1200, 313],
])('num_crops %i: a picture of %i x %i costs %i tokens', (crops, width, height, tokens) => {
  expect(imageTokens(width, height, crops)).toBe(tokens);
});

test('type and size are read from the bytes', () => {
  expect(readPicture(png(30, 20), 1000)).toMatchObject({
    width: 30,
    height: 20,
    description: 'PNG picture of 30 x 20 pixels',
  });
});

test('a JPEG is turned by its EXIF orientation', () => {
  const exif = 'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0';
  const turned = jpeg(30, 20, jpegSegment(0xe1, Buffer.from(exif, 'latin1')));
  expect(readPicture(turned, 1000)).toMatchObject({ width: 20, height: 30 });
});

test('unidentified bytes, a truncated picture, too many pixels: vLLM’s status and message', () => {
  expect(() => readPicture(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 1000)).toThrow(
    'cannot identify image file',
  );
  expect(() => readPicture(Buffer.from('not an image at all'), 1000)).toThrow('cannot identify image file');
  expect(() => readPicture(png(30, 20).subarray(0, 50), 1000)).toThrow('image file is truncated');
  expect(() => readPicture(png(100, 100), 1000)).toThrow('exceeds limit of 1000 pixels');
});
