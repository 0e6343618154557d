import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { fetching, PARAM } from '../support/fetching.ts';
import { png } from '../support/pictures.ts';
import { startRawHost } from '../support/raw-host.ts';

const picture = png(40, 30);
const get = fetching();
const LENGTH = `content-length: ${picture.length}\r\n`;

/** A host's complete answer to `/`. */
const answer = (head: string, body: Buffer = picture): Buffer =>
  Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), body]);
/** In chunks of 1, 10, 100, … bytes. */
function chunked(body: Buffer, extension = '', trailers = ''): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0, size = 1; at < body.length; at += size, size *= 10) {
    const piece = body.subarray(at, at + size);
    parts.push(Buffer.from(`${piece.length.toString(16)}${extension}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)]);
}
const coded = (coding: string, body: Buffer): Buffer =>
  answer(`HTTP/1.1 200 OK\r\ncontent-encoding: ${coding}\r\ncontent-length: ${body.length}\r\n`, body);

test.each<readonly [string, Buffer]>([
  ['with its length', answer(`HTTP/1.1 200 OK\r\n${LENGTH}`)],
  ['without its length, to the end of the connection', answer('HTTP/1.1 200 OK\r\n')],
  ['of HTTP/1.0', answer('HTTP/1.0 200 OK\r\n')],
  ['of HTTP/1.0 with keep-alive', answer(`HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n${LENGTH}`)],
  ['without a reason', answer(`HTTP/1.1 200 \r\n${LENGTH}`)],
  ['without a reason and its space', answer(`HTTP/1.1 200\r\n${LENGTH}`)],
  ['with odd letters', answer(`HTTP/1.1 200 oK\r\ncOnTeNt-LeNgTh:${picture.length}\r\nCONTENT-TYPE:\tText/HTML\r\n`)],
  ['without a type', answer(`HTTP/1.1 200 OK\r\n${LENGTH}`)],
  ['in chunks', answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', chunked(picture))],
  ['in Chunks', answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n', chunked(picture))],
  [
    'in chunks with extensions',
    answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', chunked(picture, ';a=b;c="d e"')),
  ],
  [
    'in chunks with spaces after their size',
    answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', chunked(picture, '  ')),
  ],
  [
    'in chunks, with trailers',
    answer(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n',
      chunked(picture, '', 'x: y\r\netag: "z"\r\n'),
    ),
  ],
  ['after 100 Continue', answer(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n${LENGTH}`)],
  [
    'after early hints',
    answer(`HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n`.repeat(5) + `HTTP/1.1 200 OK\r\n${LENGTH}`),
  ],
  [
    'after 102 and 199',
    answer(`HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 What\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\n${LENGTH}`),
  ],
  ['with bytes beyond ASCII in its head', answer(`HTTP/1.1 200 \u00d6K\r\nx-by: \u00fc\u00ff\r\n${LENGTH}`)],
  ['with lines that end in LF alone', answer(`HTTP/1.1 200 OK\n${LENGTH.replace('\r', '')}`.replace(/\n$/, '\n'))],
  ['with a folded header', answer(`HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\n${LENGTH}`)],
  ['with 20 kB of headers', answer(`HTTP/1.1 200 OK\r\n${`x-policy: ${'a'.repeat(1_000)}\r\n`.repeat(20)}${LENGTH}`)],
  [
    'with cookies and much else',
    answer(`HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nvary: *\r\nage: 5\r\n${LENGTH}`),
  ],
  ['with its type twice', answer(`HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-type: text/html\r\n${LENGTH}`)],
  ['with status 201', answer(`HTTP/1.1 201 Created\r\n${LENGTH}`)],
  ['with status 203', answer(`HTTP/1.1 203 Non-Authoritative Information\r\n${LENGTH}`)],
  [
    'with status 206',
    answer(`HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-${picture.length - 1}/*\r\n${LENGTH}`),
  ],
  ['with status 226', answer(`HTTP/1.1 226 IM Used\r\n${LENGTH}`)],
  ['with more bytes than announced', Buffer.concat([answer(`HTTP/1.1 200 OK\r\n${LENGTH}`), Buffer.from('more')])],
])('D3: an answer %s is read', async (_how, bytes) => {
  await using host = await startRawHost((socket) => socket.end(bytes));
  expect(await get(host.at('/'))).toEqual(picture);
});

test('D3: an answer that arrives byte by byte is read', async () => {
  const bytes = answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', chunked(picture));
  await using host = await startRawHost((socket) => {
    socket.setNoDelay(true);
    const next = (at: number): void => {
      if (at === bytes.length) socket.end();
      else socket.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1));
    };
    next(0);
  });
  expect(await get(host.at('/'))).toEqual(picture);
});

test.each<readonly [string, (host: string) => string, string]>([
  ['an absolute URL', (host) => `${host}/b.png`, '/b.png'],
  ['an absolute URL in capitals', (host) => `${host.replace('http', 'HTTP')}/b.png`, '/b.png'],
  ['a URL without a scheme', (host) => `${host.replace('http:', '')}/b.png`, '/b.png'],
  ['an absolute path', () => '/b.png?x=1&y=%20', '/b.png?x=1&y=%20'],
  ['a relative path', () => 'b.png', '/folder/b.png'],
  ['a path upwards', () => '../b.png', '/b.png'],
  ['a query alone', () => '?next', '/folder/a?next'],
  ['a fragment', () => '/b.png#part', '/b.png'],
  ['a URL with spaces around it', () => ' \t/b.png  ', '/b.png'],
  ['a URL with a space in it', () => '/b c.png', '/b%20c.png'],
  ['a URL with braces and pipes', () => '/b{1}|2.png', '/b%7B1%7D|2.png'],
  ['a path in UTF-8', () => Buffer.from('/bücher/日本.png').toString('latin1'), '/b%C3%BCcher/%E6%97%A5%E6%9C%AC.png'],
  ['a path in Latin-1', () => '/b\u00fccher.png', '/b%FCcher.png'],
  ['a path with backslashes', () => '\\b\\c.png', '/b/c.png'],
  ['a long query', () => `/b.png?${'s'.repeat(6_000)}`, `/b.png?${'s'.repeat(6_000)}`],
])('D3: redirects to %s are followed', async (_to, location, path) => {
  for (const status of [301, 302, 303, 307, 308]) {
    await using host = await startRawHost((socket, asked) => {
      const moved = `HTTP/1.1 ${status} \r\nLocation: ${location(host.at(''))}\r\ncontent-length: 5\r\n`;
      socket.end(asked === '/folder/a' ? answer(moved, Buffer.from('moved')) : answer(`HTTP/1.1 200 OK\r\n${LENGTH}`));
    });
    expect(await get(host.at('/folder/a'))).toEqual(picture);
    expect(host.asked).toEqual(['/folder/a', path]);
  }
});

test.each<readonly [string, string]>([
  ['twice, the same', 'location: /b.png\r\nlocation: /b.png\r\n'],
  ['twice, different: the first counts, as for aiohttp', 'location: /b.png\r\nlocation: /c.png\r\n'],
  ['under its old name', 'uri: /b.png\r\n'],
  ['without a space', 'LOCATION:/b.png\r\n'],
  ['with a body that never ends', 'location: /b.png\r\ncontent-length: 99999999\r\n'],
])('D3: a location given %s is followed', async (_how, headers) => {
  await using host = await startRawHost((socket, path) => {
    if (path === '/a') socket.write(answer(`HTTP/1.1 302 Found\r\n${headers}`, Buffer.from('moved')));
    else socket.end(answer(`HTTP/1.1 200 OK\r\n${LENGTH}`));
  });
  expect(await get(host.at('/a'))).toEqual(picture);
  expect(host.asked).toEqual(['/a', '/b.png']);
});

test('D3: 20 redirects are followed, as in browsers, and no more', async () => {
  await using host = await startRawHost((socket, path) => {
    const left = Number(path.slice(1));
    if (left === 0) socket.end(answer(`HTTP/1.1 200 OK\r\n${LENGTH}`));
    else socket.end(`HTTP/1.1 302 Found\r\nlocation: /${left - 1}\r\ncontent-length: 0\r\n\r\n`);
  });
  expect(await get(host.at('/20'))).toEqual(picture);
  await expect(get(host.at('/21'))).rejects.toMatchObject({ code: 'image_fetch_failed' });
});

const big = png(3_000, 3_000);
test.each<readonly [string, Buffer]>([
  ['gzip', gzipSync(picture)],
  ['GZip', gzipSync(picture)],
  ['x-gzip', gzipSync(picture)],
  ['gzip', Buffer.concat([gzipSync(picture.subarray(0, 20)), gzipSync(picture.subarray(20))])],
  ['deflate', deflateSync(picture)],
  ['deflate', deflateSync(picture, { level: 0 })],
  ['deflate', deflateRawSync(picture)],
  ['deflate', deflateRawSync(picture, { level: 0 })],
  ['br', brotliCompressSync(picture)],
  ['identity', picture],
  ['', picture],
  ['identity, gzip', gzipSync(picture)],
  ['gzip, gzip', gzipSync(gzipSync(picture))],
  ['deflate,  br ,gzip', gzipSync(brotliCompressSync(deflateRawSync(picture)))],
  ['gzip\r\nContent-Encoding: deflate', deflateRawSync(gzipSync(picture))],
])('D2: content-encoding %j is decoded', async (coding, body) => {
  await using host = await startRawHost((socket) => socket.end(coded(coding, body)));
  expect(await get(host.at('/'))).toEqual(picture);
});

test('D2: a coded picture in many pieces is decoded, also in chunks and up to the end of the connection', async () => {
  const roomy = fetching({ limitBytes: 15_000_000 });
  const body = gzipSync(big, { level: 0 });
  for (const bytes of [
    answer('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n', chunked(body)),
    answer('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n', body),
  ]) {
    await using host = await startRawHost((socket) => socket.end(bytes));
    expect((await roomy(host.at('/'))).equals(big)).toBe(true);
  }
});

test.each(['zstd', 'compress', 'exi', 'aes128gcm', 'gzip, zstd', 'gzip;q=1', '__proto__', 'constructor'])(
  'D2: the unsupported content-encoding %j is named',
  async (coding) => {
    await using host = await startRawHost((socket) => socket.end(coded(coding, Buffer.alloc(5_000, 'coded'))));
    await expect(get(host.at('/'))).rejects.toMatchObject({
      code: 'invalid_image',
      status: 400,
      options: { param: PARAM },
      message: expect.stringMatching(/content coding .*use gzip, deflate, br or none/),
    });
  },
);

test('D2: at most three codings are decoded', async () => {
  const body = gzipSync(gzipSync(gzipSync(gzipSync(picture))));
  await using host = await startRawHost((socket) => socket.end(coded('gzip, gzip, gzip, gzip', body)));
  await expect(get(host.at('/'))).rejects.toMatchObject({
    code: 'invalid_image',
    message: expect.stringMatching(/4 content codings/),
  });
});

const zeros = Buffer.alloc(200_000_000);
test.each<readonly [string, Buffer]>([
  ['gzip', gzipSync(zeros)],
  ['deflate', deflateRawSync(zeros)],
  ['br', brotliCompressSync(Buffer.alloc(20_000_000))],
  ['gzip, gzip', gzipSync(gzipSync(zeros))],
  ['deflate, gzip, gzip', gzipSync(gzipSync(deflateSync(zeros)))],
  // Only empty members: no output, and no end.
  ['gzip, gzip', gzipSync(Buffer.concat(new Array(2_000_000).fill(gzipSync(''))))],
])('D2: a bomb of %s is not decompressed beyond the limit', async (coding, body) => {
  await using host = await startRawHost((socket) => socket.end(coded(coding, body)));
  let taken = 0;
  const take = (bytes: number): boolean => {
    taken += bytes;
    return true;
  };
  await expect(get(host.at('/'), { take })).rejects.toMatchObject({ code: 'image_too_large', status: 413 });
  expect(taken).toBeLessThanOrEqual(100_000);
});

test.each(['none', 'binary', 'UTF-8', 'aws-chunked', 'image/png', 'gzip, none', 'none, gzip'])(
  'D3: content-encoding %j is ignored if the body begins like a picture',
  async (coding) => {
    const body = coding === 'none, gzip' ? gzipSync(picture) : picture;
    await using host = await startRawHost((socket) => socket.end(coded(coding, body)));
    expect(await get(host.at('/'))).toEqual(picture);
  },
);

const wrongSum = gzipSync(picture);
wrongSum.writeUInt32LE(12_345, wrongSum.length - 8);
test.each<readonly [string, Buffer]>([
  ['gzip', picture],
  ['gzip', wrongSum],
  ['deflate', Buffer.concat([Buffer.from([0xff]), picture])],
  ['br', picture],
  ['gzip, br', brotliCompressSync(picture)],
])('D2: damaged %s is reported as such', async (coding, body) => {
  await using host = await startRawHost((socket) => socket.end(coded(coding, body)));
  await expect(get(host.at('/'))).rejects.toMatchObject({
    code: 'invalid_image',
    message: expect.stringMatching(/coding cannot be decoded/),
  });
});

test.each<readonly [string, Buffer, number]>([
  ['gzip', gzipSync(picture), 8],
  ['deflate', deflateSync(picture), 4],
  ['deflate', deflateRawSync(picture), 0],
  ['br', brotliCompressSync(picture), 0],
])('D3: %s without its last bytes is decoded as far as possible, as in browsers', async (coding, body, trailer) => {
  await using whole = await startRawHost((socket) =>
    socket.end(coded(coding, body.subarray(0, body.length - trailer))),
  );
  expect(await get(whole.at('/'))).toEqual(picture);
  await using cut = await startRawHost((socket) => socket.end(coded(coding, body.subarray(0, -20))));
  const got = await get(cut.at('/'));
  expect(got.length).toBeLessThan(picture.length);
  expect(got).toEqual(picture.subarray(0, got.length));
});

test.each<readonly [string, Buffer]>([
  ['by its length', answer('HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n')],
  ['in its chunks', answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', chunked(picture).subarray(0, -20))],
  ['within a coding', coded('gzip', gzipSync(picture)).subarray(0, -10)],
  [
    'within deflate, before its first byte',
    answer('HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: 50\r\n', Buffer.alloc(0)),
  ],
  [
    'by broken chunks',
    answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', Buffer.from('5\r\nabcdeXXXX\r\nzz\r\n')),
  ],
  ['in the middle of a chunk size', answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', Buffer.from('5'))],
])('a picture cut short %s is reported as such', async (_how, bytes) => {
  await using host = await startRawHost((socket) => socket.end(bytes));
  await expect(get(host.at('/'))).rejects.toMatchObject({
    code: 'image_fetch_failed',
    message: expect.stringMatching(/is cut short/),
  });
});

test.each(['deflate', 'gzip', 'br', 'deflate, gzip'])(
  'D2: an empty body or broken framing with %s ends the fetch',
  async (coding) => {
    const head = `HTTP/1.1 200 OK\r\ncontent-encoding: ${coding}\r\n`;
    for (const bytes of [
      answer(`${head}content-length: 0\r\n`, Buffer.alloc(0)),
      answer(head, Buffer.alloc(0)),
      answer(`${head}transfer-encoding: chunked\r\n`, Buffer.from('0\r\n\r\n')),
      answer(`${head}transfer-encoding: chunked\r\n`, Buffer.from('zz\r\n')),
      answer(`${head}transfer-encoding: chunked\r\n`, Buffer.from('5\r\nabcdeXX')),
    ]) {
      await using host = await startRawHost((socket) => socket.end(bytes));
      const [ended] = await Promise.allSettled([get(host.at('/'))]);
      if (ended.status === 'rejected') expect(ended.reason).toMatchObject({ status: 400 });
      else expect(ended.value).toHaveLength(0);
    }
  },
);

test('N1: a body of many tiny chunks is read until its framing is out of proportion, then given up', async () => {
  const large = png(1_000, 1_000);
  const pieces = (body: Buffer, size: number): Buffer => {
    const parts: Buffer[] = [];
    for (let at = 0; at < body.length; at += size) {
      const piece = body.subarray(at, at + size);
      parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
    }
    return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
  };
  const roomy = fetching({ limitBytes: 1_000_000 });
  await using host = await startRawHost((socket, path) => {
    const body = path === '/noise' ? Buffer.alloc(200_000, 1) : large;
    const [size, text] = path === '/small' ? [16, body] : [1, body];
    socket.end(answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n', pieces(text, size)));
  });
  expect((await roomy(host.at('/small'))).equals(large)).toBe(true);
  expect((await roomy(host.at('/tiny'))).equals(large)).toBe(true);
  await expect(roomy(host.at('/noise'))).rejects.toMatchObject({
    code: 'image_fetch_failed',
    message: expect.stringMatching(/too small pieces/),
  });
});

test('a picture that ends with its connection does not count as complete if we closed the connection', async () => {
  await using host = await startRawHost((socket) => void socket.write(answer('HTTP/1.1 200 OK\r\n')));
  const hasty = fetching({ timeoutMs: 200 });
  await expect(hasty(host.at('/stays'))).rejects.toMatchObject({
    code: 'image_fetch_failed',
    message: expect.stringContaining('did not arrive completely within 200 ms'),
  });
  const caller = new AbortController();
  const gone = new Error('gone');
  const fetched = get(host.at('/stays'), { signal: caller.signal }).catch((reason: unknown) => reason);
  await eventually('it is under way', () => host.asked.length === 2);
  caller.abort(gone);
  expect(await fetched).toBe(gone);
});

test('memory is reserved before bytes are kept: first the announced length, then the received bytes', async () => {
  const asks: number[] = [];
  const upTo = (most: number) => (bytes: number) => {
    asks.push(bytes);
    return asks.reduce((sum, one) => sum + one, 0) <= most;
  };
  await using host = await startRawHost((socket, path) =>
    path === '/announced'
      ? socket.end(answer(`HTTP/1.1 200 OK\r\n${LENGTH}`))
      : socket.end(coded('gzip', gzipSync(picture))),
  );
  await get(host.at('/announced'), { take: upTo(picture.length) });
  expect(asks).toEqual([picture.length]);
  asks.length = 0;
  await get(host.at('/packed'), { take: upTo(picture.length) });
  expect(asks.reduce((sum, one) => sum + one, 0)).toBe(picture.length);
  for (const path of ['/announced', '/packed']) {
    asks.length = 0;
    await expect(get(host.at(path), { take: upTo(picture.length - 1) })).rejects.toMatchObject({
      code: 'overloaded',
      status: 503,
      options: { param: PARAM },
    });
  }
});

test('D4: a too long URL is refused with its length and the limit', async () => {
  const url = `http://127.0.0.1/${'a'.repeat(9_000)}`;
  await expect(get(url)).rejects.toMatchObject({
    code: 'invalid_image',
    message: expect.stringMatching(/9017 characters; at most 8192/),
    options: { param: PARAM, asked: 9_017, allowed: 8_192 },
  });
});
