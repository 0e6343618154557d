import { expect, test } from '@jest/globals';
import type { z } from 'zod';
import { AttemptError, Claimed, Head, decodeFrames, parsePayload, type Frame } from '#contract/frame';
import { encodeFrame } from '../../support/encode-frame.ts';

const frame = (type: Frame['type'], payload: string): Frame => ({
  type,
  requestId: 'g0123456789abcdef-42',
  epoch: 2,
  attempt: 3,
  payload: Buffer.from(payload),
});

test('frames of one entry are decoded as they were encoded, with the same bytes', () => {
  const sent = [frame('claimed', '{}'), frame('data', 'data: {"ä":"\u{1F6A2}"}\n\n'), frame('end', '')];
  const entry = Buffer.concat(sent.map((one) => encodeFrame(one)));
  expect(decodeFrames(entry)).toEqual(sent);
});

test('a payload is a view of the entry, not a copy', () => {
  const entry = encodeFrame(frame('data', 'abc'));
  expect(decodeFrames(entry)[0]?.payload.buffer).toBe(entry.buffer);
});

test.each([1, 9, 15, 31])('an entry cut after %i bytes is an error, not a short answer', (length) => {
  const entry = encodeFrame(frame('data', 'abc'));
  expect(() => decodeFrames(entry.subarray(0, length))).toThrow();
});

test('H2: a frame type that only newer programs know is skipped, and no other byte', () => {
  const unknown = encodeFrame(frame('data', 'what no one knows'));
  unknown.writeUInt8(99, 0);
  const [one, two] = [frame('data', 'one'), frame('data', 'two')];
  const entry = Buffer.concat([unknown, encodeFrame(one), unknown, encodeFrame(two), unknown]);
  expect(decodeFrames(entry)).toEqual([one, two]);
});

test.each<[type: string, schema: z.ZodType, payload: string]>([
  ['claimed', Claimed, 'half of it {'],
  ['claimed', Claimed, '{"engine":"e"}'],
  ['head', Head, '{"status":"200","contentType":"x"}'],
  ['head', Head, 'null'],
  ['error', AttemptError, ''],
])('H2: an invalid payload of %s is an error', (_type, schema, payload) => {
  expect(() => parsePayload(schema, Buffer.from(payload))).toThrow();
});

test('H2: an unknown reason of a newer dispatcher means that the attempt is lost; added fields are ignored', () => {
  const payload = Buffer.from('{"reason":"engine_blamed","message":"m","later":1}');
  expect(parsePayload(AttemptError, payload)).toEqual({ reason: 'worker_lost', message: 'm' });
});
