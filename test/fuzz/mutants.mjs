// @ts-check
import { constants, brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { changeJson, JSON_CHANGES, NAMES, ODD_VALUES, placesOf } from './change-json.mjs';

/**
 * A request that differs from a valid one.
 * @typedef {object} Mutant
 * @property {string} method
 * @property {string} path with its query
 * @property {Record<string, string>} headers
 * @property {Buffer} [body]
 * @property {number[]} chunks sizes of its chunks; none: it has a length
 * @property {boolean} toInternal it is sent to the internal port
 * @property {number} [leavesAfter] its client leaves after sending this many bytes
 * @property {readonly { at: number, bytes: Uint8Array, drop: number }[]} [cuts] changes of all its bytes, head included
 */

const OF = 100;
const METHODS = ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND'];
const INTERNAL = [
  '/status',
  '/metrics',
  '/readyz',
  '/livez',
  '/healthz',
  '/startupz',
  '/scale/default',
  '/scale/x',
  '/nothing',
];
const PIECES = [
  '%ff',
  '%00',
  '%2F',
  '%2e%2e',
  '..',
  '.',
  '',
  ';a=b',
  'v1',
  'openai',
  'é',
  '%C3%A9',
  '~',
  'a'.repeat(300),
  '%',
];
const QUERIES = [
  'api-version=2024-10-21',
  'api-version=',
  'a=%ff',
  'a[b]=c',
  '=',
  '&&',
  'a=b&a=c',
  'x='.repeat(200),
  '__proto__=1',
];
/** @type {readonly (readonly [string, string])[]} */
const HEADERS = [
  ...[
    'text/plain',
    'application/json; charset=utf-16',
    'multipart/form-data; boundary=x',
    '',
    '*/*',
    'application/json;',
  ].map((type) => /** @type {const} */ (['content-type', type])),
  ...['gzip', 'deflate', 'br', 'zstd', 'identity', 'gzip, br', ''].map(
    (c) => /** @type {const} */ (['content-encoding', c]),
  ),
  ...['error', 'drop', 'pass-through', 'x'].map((value) => /** @type {const} */ (['extra-parameters', value])),
  ...['', 'k1', 'k2', 'k'.repeat(256), 'é'].map((value) => /** @type {const} */ (['idempotency-key', value])),
  ...['azureai', 'nobody', '', 'x'.repeat(500)].map(
    (value) => /** @type {const} */ (['azureml-model-deployment', value]),
  ),
  ...['r', 'r'.repeat(101), '\u00ff', '{}'].map((value) => /** @type {const} */ (['x-request-id', value])),
  ...['Bearer', 'Bearer x', 'Basic eDp5', '', 'Bearer  '].map(
    (value) => /** @type {const} */ (['authorization', value]),
  ),
  ...['100-continue', '200-ok'].map((value) => /** @type {const} */ (['expect', value])),
  ...['evil.example', '[::1]', 'a b', '127.0.0.1:99999', ''].map((value) => /** @type {const} */ (['host', value])),
  ...['https://a.example', 'null', '*'].map((value) => /** @type {const} */ (['origin', value])),
  ['connection', 'close'],
  ['upgrade', 'h2c'],
  ['accept', 'text/event-stream'],
  ['accept-encoding', 'br;q=2'],
  ['x-ms-model-mesh-model-name', '\u00fe'],
  ['x-forwarded-for', '1.2.3.4'],
  ['cookie', 'a=b; '.repeat(500)],
  ['x-long', 'y'.repeat(15_000)],
  ['range', 'bytes=0-1'],
  ['access-control-request-method', 'POST'],
];
/** @type {readonly (readonly [string, (bytes: Buffer) => Buffer])[]} */
const PACKERS = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
  ['deflate', deflateRawSync],
];

const number = fc.nat({ max: 1_000_000 });
const oddValue = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...ODD_VALUES) },
  {
    weight: 1,
    arbitrary: /** @type {fc.Arbitrary<import('./change-json.mjs').Json>} */ (fc.jsonValue({ maxDepth: 3 })),
  },
);
const jsonChange = fc.record({
  where: number,
  how: fc.constantFrom(...JSON_CHANGES),
  value: oddValue,
  name: fc.oneof(fc.constantFrom(...NAMES), fc.string({ unit: 'binary', maxLength: 12 })),
  count: fc.constantFrom(0, 2, 3, 17, 129, 1_025, 5_000),
});
const cut = fc.record({
  at: number,
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom('"', '[', '{', ',', '\\', '\\u', '\r\n', '\r\n\r\n', '\0', ':').map((text) => Buffer.from(text)),
  ),
  drop: fc.constantFrom(0, 0, 1, 2, 16, 4_000),
});
const change = fc.record({
  seed: number,
  json: fc.array(jsonChange, { maxLength: 4 }),
  chance: fc.record({ picture: number, bytes: number, head: number, packed: number, path: number, kind: number }),
  cuts: fc.array(cut, { minLength: 1, maxLength: 3 }),
  headers: fc.array(fc.constantFrom(...HEADERS), { minLength: 1, maxLength: 3 }),
  method: fc.constantFrom(...METHODS),
  packer: fc.constantFrom(...PACKERS),
  piece: fc.constantFrom(...PIECES),
  query: fc.constantFrom(...QUERIES),
  internal: fc.constantFrom(...INTERNAL),
  chunks: fc.array(fc.constantFrom(1, 2, 7, 100, 5_000), { minLength: 1, maxLength: 6 }),
  leavesAfter: number,
});

/** @typedef {import('./seeds.mjs').Seed} Seed */

/**
 * The same mutants for the same seed, whatever their results.
 * @param {number} seed @param {number} count @param {readonly Seed[]} seeds valid requests @param {string} key of the caller
 */
export function* mutants(seed, count, seeds, key) {
  for (let made = 0; made < count; made += BATCH)
    for (const one of fc.sample(change, { seed: seed + made, numRuns: Math.min(BATCH, count - made) }))
      yield mutant(one, seeds, key);
}
const BATCH = 250;

/** @param {typeof change extends fc.Arbitrary<infer T> ? T : never} how @param {readonly Seed[]} seeds @param {string} key @returns {Mutant} */
function mutant(how, seeds, key) {
  const { chance } = how;
  const seed = seeds[how.seed % seeds.length] ?? { method: 'GET', path: '/' };
  /** @type {Mutant} */
  const made = {
    method: seed.method,
    path: seed.path,
    headers: { authorization: `Bearer ${key}` },
    chunks: [],
    toInternal: false,
  };
  if (seed.body !== undefined) {
    made.headers['content-type'] = 'application/json';
    made.body = bodyOf(seed.body, how);
  }
  if (chance.packed % OF < 5 && made.body !== undefined) {
    const [coding, pack] = how.packer;
    made.headers['content-encoding'] = coding;
    made.body = pack(made.body);
    if (chance.bytes % OF < 30) made.body = cutBytes(made.body, how.cuts);
  }
  if (chance.head % OF < 12) for (const [name, value] of how.headers) made.headers[name] = value;
  if (chance.path % OF < 8) made.path = changePath(made.path, how.piece, how.seed);
  else if (chance.path % OF < 12) made.path += `${made.path.includes('?') ? '&' : '?'}${how.query}`;
  const kind = chance.kind % OF;
  if (kind < 4) made.method = how.method;
  else if (kind < 10) made.chunks = how.chunks;
  else if (kind < 12) made.leavesAfter = how.leavesAfter % 2_000;
  else if (kind < 18) made.cuts = how.cuts;
  else if (kind < 20) Object.assign(made, { method: 'GET', path: how.internal, body: undefined, toInternal: true });
  return made;
}

/** @param {import('./change-json.mjs').Json} right @param {Parameters<typeof mutant>[0]} how */
function bodyOf(right, how) {
  const { chance } = how;
  const root = { body: structuredClone(right) };
  if (chance.picture % OF < 50)
    for (const place of placesOf(root)) {
      const [, head, base64] = /^(data:[^,]*,)(.*)$/s.exec(String(place.get())) ?? [];
      if (base64 === undefined) continue;
      place.set(head + cutBytes(Buffer.from(base64, 'base64'), how.cuts).toString('base64'));
    }
  // An unchanged request is useful a few times.
  for (const { where, how: way, value, name, count } of how.json) changeJson(root, where, way, value, name, count);
  const bytes = Buffer.from(JSON.stringify(root.body ?? null));
  return chance.bytes % OF < 12 ? cutBytes(bytes, how.cuts) : bytes;
}

/** @param {Buffer} bytes @param {readonly { at: number, bytes: Uint8Array, drop: number }[]} cuts */
export function cutBytes(bytes, cuts) {
  let changed = bytes;
  for (const { at, bytes: put, drop } of cuts) {
    const from = at % (changed.length + 1);
    changed = Buffer.concat([changed.subarray(0, from), put, changed.subarray(from + drop)]);
  }
  return changed;
}

/** @param {string} path @param {string} piece @param {number} where */
function changePath(path, piece, where) {
  const parts = path.split('/');
  const at = 1 + (where % parts.length);
  parts.splice(at, where % 2, piece);
  return parts.join('/');
}
