import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { toFailure, type Failure } from '../../../gateway/failure.ts';
import { parseBody, type StructureLimits } from '../../../gateway/intake/json-structure.ts';
import { PictureBytes } from '../../../gateway/intake/picture-bytes.ts';
import { asManyHere, leastCpuMs } from '../../support/cpu-time.ts';
import { dataUri, noisePng } from '../../support/pictures.ts';

const LIMITS: StructureLimits = { bytes: 50_000, depth: 10, values: 100, texts: 50 };
const picture = dataUri(noisePng(120, 100));
const base64 = picture.slice('data:image/png;base64,'.length);
const Source = z.object({ source: z.object({ data: z.string() }) });
const message = (url: unknown) => ({ messages: [{ content: [{ type: 'image_url', image_url: { url } }] }] });

function parse(text: string | Buffer, limits = LIMITS) {
  const pictures = new PictureBytes();
  return { value: parseBody(Buffer.from(text), limits, pictures), pictures };
}
function refused(text: string | Buffer, limits = LIMITS): Failure {
  try {
    parse(text, limits);
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}
/** The picture whose marker is in the parsed body. */
const heldIn = ({ value, pictures }: ReturnType<typeof parse>): string => {
  const [marker = ''] = /data:[0-9a-f-]{36}\d{6}/i.exec(JSON.stringify(value)) ?? [];
  return `data:${pictures.find(marker)?.toString() ?? ''}`;
};

test('base64 in a separate field is kept as bytes only if it begins like a picture', () => {
  const { value, pictures } = parse(JSON.stringify({ source: { data: base64 } }));
  const { source } = Source.parse(value);
  expect(source.data).toHaveLength(42);
  expect(pictures.find(`data:image/png;base64,${source.data}`)?.toString()).toBe(base64);
  for (const data of [base64.slice(1), base64.slice(0, 4_000)])
    expect(parse(JSON.stringify({ source: { data } })).value).toEqual({ source: { data } });
});

test.each([
  ['a plain body', '{"a": [1, "b\\"c", null], "é": {}}'],
  ['white space and a byte order mark', '\uFEFF \n{"a":\t1}\r\n'],
  ['a text instead of an object', '"data:image/png;base64,AAAA"'],
  ['short data: URIs', JSON.stringify(message('data:image/png;base64,AAAA'))],
  ['a data: URI in a field of another name', JSON.stringify({ text: picture })],
])('%s is parsed as JSON.parse does', (_name, text) => {
  expect(parse(text).value).toEqual(JSON.parse(text.replace('\uFEFF', '')));
});

test.each([
  ['as OpenAI writes it', JSON.stringify(message(picture))],
  ['as a bare image_url', JSON.stringify({ input: [{ type: 'input_image', image_url: picture }] })],
  ['with spaces around the colon', `{"url"  : ${JSON.stringify(picture)}}`],
  ['in capitals', JSON.stringify(message(picture.replace('data:', 'DATA:')))],
])('a picture is kept as bytes, %s', (_name, text) => {
  const parsed = parse(text);
  expect(JSON.stringify(parsed.value).length).toBeLessThan(300);
  // Compared by hand, because the matcher would print both.
  expect(heldIn(parsed) === picture).toBe(true);
});

test('a picture is kept as it is written, with escapes and quotes in its media type', () => {
  const named = picture.replace('png;', 'png;name=\\"a\\";').replaceAll('/', '\\/');
  expect(heldIn(parse(`{"url":"${named}"}`)) === named).toBe(true);
});

test.each([
  ['an escaped quote', picture.replace(/.$/, '\\"')],
  ['a backslash at its end', `${picture}\\\\`],
])('a data: URI with %s is an ordinary text', (_name, text) => {
  expect(parse(`{"url":"${text}"}`).value).toEqual(JSON.parse(`{"url":"${text}"}`));
});

test('two pictures keep their places, and the bytes are those of the body', () => {
  const body = Buffer.from(JSON.stringify([message(picture), 'between', message(`${picture}AAAA`)]));
  const pictures = new PictureBytes();
  const value = parseBody(body, LIMITS, pictures);
  const texts = JSON.stringify(value).match(/data:[^"]+/g) ?? [];
  const held = texts.map((text) => `data:${pictures.find(text)?.toString() ?? ''}`);
  expect([held[0] === picture, held[1] === `${picture}AAAA`, held.length]).toEqual([true, true, 2]);
  expect(pictures.find(texts[0] ?? '')?.buffer).toBe(body.buffer);
});

test.each([
  ['deep nesting', '['.repeat(11) + ']'.repeat(11), '10 levels'],
  ['nesting without an end', '[{"a":'.repeat(9_000), '10 levels'],
  ['many elements', `[${Array(200).fill(0).join(',')}]`, '100 values'],
  ['many lists', `[${'[],'.repeat(70)}0]`, '100 values'],
  ['many commas', ','.repeat(40_000), '100 values'],
  [
    'many names of fields',
    JSON.stringify(Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, 0]))),
    '50 texts',
  ],
  ['invalid JSON', '{"a": nope}', 'not valid JSON'],
  ['a text without an end', '{"a": "b', 'not valid JSON'],
  ['a picture without an end', JSON.stringify(message(picture)).slice(0, -20), 'not valid JSON'],
  ['half of a character', Buffer.from([0x22, 0xc3, 0x22]), 'not UTF-8'],
])('N2: %s is refused before it is parsed', (_name, text, words) => {
  expect(refused(text)).toMatchObject({ code: 'invalid_json', status: 400 });
  expect(refused(text).message).toContain(words);
});

test.each([
  ['a long text', JSON.stringify('x'.repeat(50_000))],
  ['a long text of escapes', `"${'\\"'.repeat(25_000)}"`],
  ['white space', ' '.repeat(60_000)],
  ['a number', '9'.repeat(60_000)],
  ['a name', `{"${'n'.repeat(60_000)}":1}`],
  ['a data: URI in a field of another name', JSON.stringify({ text: `data:image/png;base64,${'A'.repeat(50_000)}` })],
])('N2: %s beyond the bytes outside pictures is 413', (_name, text) => {
  expect(refused(text)).toMatchObject({ code: 'body_too_large', status: 413, options: { allowed: 50_000 } });
});

test('a picture does not count, the bytes beside it do', () => {
  const large = `data:image/png;base64,${'A'.repeat(200_000)}`;
  expect(heldIn(parse(JSON.stringify(message(large)))) === large).toBe(true);
  expect(refused(JSON.stringify([message(large), 'x'.repeat(50_000)])).code).toBe('body_too_large');
});

test('N2: no body of 20 MB takes more than 50 ms of CPU, whatever its bytes', () => {
  const limits = { bytes: 4 * 1024 * 1024, depth: 100, values: 262_144, texts: 32_768 };
  const fill = (unit: string): Buffer => Buffer.alloc(20_000_000, unit);
  const names = Array.from({ length: 32_000 }, (_, index) => `"n${index}":${index}`);
  const bodies: Record<string, Buffer> = {
    lists: fill('['),
    objects: fill('{"a":'),
    commas: fill(','),
    quotes: fill('""'),
    escapes: fill('\\"'),
    'escapes in a picture': Buffer.concat([Buffer.from('{"url":"data:'), fill('\\/')]),
    'escaped quotes in a picture': Buffer.concat([Buffer.from('{"url":"data:'), fill('\\"')]),
    'escaped backslashes in a picture': Buffer.concat([Buffer.from('{"url":"data:'), fill('\\\\')]),
    'pictures without an end': fill('"url":"data:'),
    'short pictures': fill('"url":"data:AAAA",'),
    'long pictures': fill(`"url":"data:${'A'.repeat(4_100)}",`),
    'white space': fill(' '),
    digits: fill('9'),
    zeros: fill('\0'),
    'token ids': Buffer.from(`[${Array.from({ length: 262_000 }, (_, index) => String(index)).join(',')}]`),
    names: Buffer.from(`{${names.join(',')}}`),
    'objects of one name each': Buffer.from(`[${names.map((name) => `{${name}}`).join(',')}]`),
    'one text': Buffer.from(JSON.stringify('é'.repeat(2_090_000))),
    'one text of escapes': Buffer.from(`"${'\\u00e9'.repeat(690_000)}"`),
  };
  const slow: string[] = [];
  const allowedMs = asManyHere(50);
  for (const [name, body] of Object.entries(bodies)) {
    const usedMs = leastCpuMs(() => {
      try {
        parse(body, limits);
      } catch {
        // a refusal is fine too
      }
    }, allowedMs);
    if (usedMs > allowedMs) slow.push(`${name}: ${usedMs.toFixed(0)} ms`);
  }
  expect(slow).toEqual([]);
});

test.each([
  ['{"seed": 9223372036854775807, "a": [1]}', '9223372036854775807'],
  ['{"metadata":{"seed":5},"seed" :\n-9223372036854775808 }', '-9223372036854775808'],
  ['{"text":"\\"seed\\":9223372036854775806,","seed":9223372036854775807}', '9223372036854775807'],
  ['{"seed":1,"seed":9223372036854775807}', '9223372036854775807'],
  ['{"seed":9007199254740991}', 9_007_199_254_740_991],
  // The text alone does not show which one is at the top level.
  ['{"a":{"seed":9223372036854775806},"seed":9223372036854775807}', 2 ** 63],
  ['{"s\\u0065ed":9223372036854775807}', 2 ** 63],
])('E5: the seed of %s is exact, or as JSON.parse reads it', (text, seed) => {
  expect(parse(text).value).toEqual({ ...z.looseObject({}).parse(JSON.parse(text)), seed });
});
