import { expect, test } from '@jest/globals';
import { decodeFrames, encodeFrame, type Frame } from '#contract/frame';

const frame = (type: Frame['type'], payload: string): Frame => ({
  type,
  requestId: 'g0123456789abcdef-42',
  epoch: 2,
  attempt: 3,
  payload: Buffer.from(payload),
});

test('frames of one entry come out as they went in, bytes untouched', () => {
  const sent = [frame('claimed', '{}'), frame('data', 'data: {"ä":"\u{1F6A2}"}\n\n'), frame('end', '')];
  const entry = Buffer.concat(sent.flatMap((one) => encodeFrame(one)));
  expect(decodeFrames(entry)).toEqual(sent);
});

test('a payload is a view of the entry, not a copy', () => {
  const entry = Buffer.concat(encodeFrame(frame('data', 'abc')));
  expect(decodeFrames(entry)[0]?.payload.buffer).toBe(entry.buffer);
});

test.each([1, 9, 15, 31])('an entry cut after %i bytes is an error, not a short answer', (length) => {
  const entry = Buffer.concat(encodeFrame(frame('data', 'abc')));
  expect(() => decodeFrames(entry.subarray(0, length))).toThrow();
});

test('an unknown frame type is an error', () => {
  const entry = Buffer.concat(encodeFrame(frame('data', 'abc')));
  entry.writeUInt8(99, 0);
  expect(() => decodeFrames(entry)).toThrow('malformed');
});
