import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from '@jest/globals';
import { EventSource } from 'undici';
import { EventReader } from '../../../../gateway/answer/engine/sse.ts';
import { portOf } from '../../../support/port-of.ts';

type Read = readonly [name: string, data: string];

function read(bytes: Buffer, pieceBytes = bytes.length): Read[] {
  const reader = new EventReader();
  const events: Read[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes)
    for (const { name, data } of reader.read(bytes.subarray(at, at + pieceBytes))) events.push([name, data.toString()]);
  return events;
}

test.each<[how: string, text: string, events: Read[]]>([
  [
    'as vLLM writes',
    'data: a\n\ndata: b\n\n',
    [
      ['', 'a'],
      ['', 'b'],
    ],
  ],
  [
    'CRLF',
    'data: a\r\n\r\ndata: b\r\n\r\n',
    [
      ['', 'a'],
      ['', 'b'],
    ],
  ],
  [
    'CR alone',
    'data: a\r\rdata: b\r\r',
    [
      ['', 'a'],
      ['', 'b'],
    ],
  ],
  [
    'all three by turns',
    'data: a\r\n\rdata: b\n\r\ndata: c\r\n\n',
    [
      ['', 'a'],
      ['', 'b'],
      ['', 'c'],
    ],
  ],
  ['a byte order mark', '\uFEFFdata: a\n\n', [['', 'a']]],
  ['a second byte order mark, which is not part of a field', 'data: a\n\n\uFEFFdata: b\n\n', [['', 'a']]],
  [
    'no space, one space, two',
    'data:a\n\ndata: b\n\ndata:  c\n\n',
    [
      ['', 'a'],
      ['', 'b'],
      ['', ' c'],
    ],
  ],
  ['several data lines', 'data: a\ndata: b\ndata\n\n', [['', 'a\nb\n']]],
  ['event, id, retry and unknown fields', 'retry: 5\nid: 1\nevent: x\nfield: y\ndata: a\n\n', [['x', 'a']]],
  [
    'a name lasts for one event',
    'event: x\ndata: a\n\ndata: b\n\n',
    [
      ['x', 'a'],
      ['', 'b'],
    ],
  ],
  ['an empty name clears the name', 'event: x\nevent:\ndata: a\n\n', [['', 'a']]],
  ['a name without data is not an event', 'event: x\n\ndata: a\n\n', [['', 'a']]],
  ['comments, between and inside', ': hi\n\ndata: a\n:\n: no\n\n', [['', 'a']]],
  ['an event that the end cuts off', 'data: a\n\ndata: b\n', [['', 'a']]],
  ['a line that the end cuts off', 'data: a\n\ndata: b', [['', 'a']]],
  ['colons in the value', 'data: a: b:c\n\n', [['', 'a: b:c']]],
  ['other letters', 'Data: a\n\n data: b\n\ndata : c\n\n', []],
  ['not only ASCII', 'data: ä\u2028\u{1F6A2}\n\n', [['', 'ä\u2028\u{1F6A2}']]],
])('A3: legal spellings, however they are cut: %s', (_how, text, events) => {
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size += 1) expect([size, ...read(bytes, size)]).toEqual([size, ...events]);
});

test('an event that never ends does not fill the memory, whatever it consists of', () => {
  for (const piece of ['x', 'data: x\n', 'data: ']) {
    const reader = new EventReader();
    const megabyte = Buffer.alloc(1024 * 1024, piece);
    for (let n = 0; n < 65 && !reader.isEndless; n += 1) reader.read(megabyte);
    expect([piece, reader.isEndless]).toEqual([piece, true]);
  }
});

/** Without `event:` lines that have no value: that client then keeps the previous name, against the standard. */
const PARTS = ['data', 'data:', 'data: ', 'event: n', 'id: 1', 'retry: 1', ':', ' ', 'x', '{"a":1}', 'ä', '\uFEFF'];
const ENDS = ['\n', '\r', '\r\n', '\n\n', '\r\r', '\r\n\r\n', ''];
const STREAMS = 300;

/** Pseudorandom numbers, the same in every run. */
function createRandom(): (below: number) => number {
  let seed = 20_261_129;
  return (below) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

test('A3: reads the same as undici’s EventSource from random input', async () => {
  const random = createRandom();
  const one = (of: readonly string[]): string => of[random(of.length)] ?? '';
  const streams = Array.from({ length: STREAMS }, () =>
    // Retry time and id don't matter, because a stream is read once.
    Buffer.from(Array.from({ length: 1 + random(24) }, () => one(PARTS) + one(ENDS)).join('')),
  );
  const server = createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' });
    res.end(streams[Number(req.url?.slice(1))]);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  let events = 0;
  try {
    for (const [n, bytes] of streams.entries()) {
      const source = new EventSource(`http://127.0.0.1:${port}/${n}`);
      const expected: Read[] = [];
      const over = new Promise<void>((resolve) => source.addEventListener('error', () => resolve()));
      const names = new Set(read(bytes).map(([name]) => name));
      for (const name of new Set(['message', ...names].filter((one) => one !== '')))
        source.addEventListener(name, (event) =>
          expected.push([name === 'message' ? '' : name, String(Reflect.get(event, 'data'))]),
        );
      await over;
      source.close();
      events += expected.length;
      for (const size of [1, 2, 3, 7, bytes.length])
        expect([bytes.toString(), size, ...read(bytes, size)]).toEqual([bytes.toString(), size, ...expected]);
    }
  } finally {
    server.close();
  }
  expect(events).toBeGreaterThan(STREAMS);
}, 60_000);

test('a comment is dropped on arrival, however long, and many comments don’t fill the memory', () => {
  const reader = new EventReader();
  const piece = Buffer.alloc(1024 * 1024, 'x');
  expect(reader.read(Buffer.from(': '))).toEqual([]);
  for (let n = 0; n < 65; n += 1) reader.read(piece);
  expect(reader.isEndless).toBe(false);
  const line = Buffer.concat([Buffer.from('\n:'), piece]);
  for (let n = 0; n < 65; n += 1) reader.read(line);
  expect(reader.isEndless).toBe(false);
  expect(reader.read(Buffer.from('\ndata: a\n\n')).map(({ data }) => data.toString())).toEqual(['a']);
});
