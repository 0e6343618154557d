import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HttpAnswer } from '../../../worker-launcher/engine/http-answer.ts';

/** Reads an answer cut into pieces of these lengths, in turn. */
function read(bytes: Buffer, lengths: readonly number[] = [bytes.length]) {
  const seen = { heads: [] as string[], body: '', pieces: 0 };
  const answer = new HttpAnswer({
    head: (status, type) => seen.heads.push(`${status} ${type}`),
    data: (data) => {
      seen.body += data.toString('latin1');
      seen.pieces += 1;
    },
  });
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const end = at + (lengths[n % lengths.length] ?? bytes.length);
    // A copy, because the reader may overwrite what it reads.
    answer.read(Buffer.from(bytes.subarray(at, end)));
    at = end;
  }
  return { answer, seen };
}
const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n';
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const chunk = (data: string, beside = ''): string => `${data.length.toString(16)}${beside}\r\n${data}\r\n`;

test('the data of all chunks of one piece arrive together', () => {
  const { answer, seen } = read(Buffer.from(`${CHUNKED}${chunk('data: a\n\n')}${chunk('data: b\n\n')}0\r\n\r\n`));
  expect(seen).toEqual({
    heads: ['200 text/event-stream; charset=utf-8'],
    body: 'data: a\n\ndata: b\n\n',
    pieces: 1,
  });
  expect(answer).toMatchObject({ isOver: true, staysOpen: true });
});

test('however an answer is cut, its parts are the same', () => {
  const data = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).map((text) => Buffer.from(text));
  const bodies = fc.array(data, { maxLength: 8 });
  const besides = fc.constantFrom('', ';a=b', ';a="\r');
  fc.assert(
    fc.property(
      bodies,
      besides,
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
      fc.boolean(),
      (parts, beside, lengths, isChunked) => {
        const whole = Buffer.concat(parts).toString('latin1');
        const ext = beside.endsWith('\r') ? '' : beside;
        const text = isChunked
          ? `HTTP/1.1 100 Continue\r\n\r\n${CHUNKED}${parts.map((one) => chunk(one.toString('latin1'), ext)).join('')}0\r\nt: u\r\n\r\n`
          : `${HEAD}content-length: ${whole.length}\r\n\r\n${whole}`;
        const { answer, seen } = read(Buffer.from(text, 'latin1'), lengths);
        expect(seen.body).toBe(whole);
        expect(seen.heads).toHaveLength(1);
        expect(answer).toMatchObject({ isOver: true, staysOpen: true });
      },
    ),
  );
});

test('no cut of an answer looks complete', () => {
  const bytes = Buffer.from(`${CHUNKED}${chunk('data: a\n\n')}0\r\n\r\n`);
  for (let length = 0; length < bytes.length; length += 1)
    expect(read(bytes.subarray(0, length)).answer).toMatchObject({ isOver: false, endsByClose: false });
});

test.each([
  ['no length', HEAD, { isOver: false, endsByClose: true, staysOpen: false }],
  ['no body', 'HTTP/1.1 204 No Content\r\n', { isOver: true, staysOpen: true }],
  ['an empty body', `${HEAD}content-length: 0\r\n`, { isOver: true, staysOpen: true }],
  ['its connection closes', `${HEAD}connection: close\r\ncontent-length: 0\r\n`, { isOver: true, staysOpen: false }],
  ['HTTP 1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n', { isOver: true, staysOpen: false }],
])('where an answer ends: %s', (_how, head, state) => {
  expect(read(Buffer.from(`${head}\r\n`)).answer).toMatchObject(state);
});

test('bytes after the end are not read, and their connection is not used again', () => {
  const { answer, seen } = read(Buffer.from(`${CHUNKED}${chunk('a')}0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nb`));
  expect(seen.body).toBe('a');
  expect(answer).toMatchObject({ isOver: true, staysOpen: false });
});

test.each([
  ['no status line', 'hello\r\n\r\n'],
  ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nhello\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n'],
  ['two lengths', `${HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\n`],
  ['a length below zero', `${HEAD}content-length: -1\r\n\r\n`],
  ['length and chunks', `${HEAD}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`],
  ['an unknown encoding', `${HEAD}transfer-encoding: gzip, chunked\r\n\r\n`],
  ['a chunk without a size', `${CHUNKED}\r\n`],
  ['a chunk with a size that is no number', `${CHUNKED}x\r\n`],
  ['a chunk with a size of thirteen digits', `${CHUNKED}0000000000001\r\n`],
  ['a size that ends in a line feed', `${CHUNKED}1\na\r\n`],
  ['a chunk that is longer than its size', `${CHUNKED}1\r\nab\r\n`],
  ['an endless head', `HTTP/1.1 200 OK\r\na: ${'b'.repeat(70_000)}`],
  ['an endless extension', `${CHUNKED}1;${'b'.repeat(70_000)}`],
  ['endless trailers', `${CHUNKED}0\r\n${'a: b\r\n'.repeat(20_000)}`],
])('an answer that cannot be read: %s', (_what, text) => {
  expect(() => read(Buffer.from(text))).toThrow();
  expect(() => read(Buffer.from(text), [1])).toThrow();
});
