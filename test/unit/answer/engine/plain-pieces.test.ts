import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PlainPieces } from '../../../../gateway/answer/engine/plain-pieces.ts';

/** The start of an event of vLLM, its text as JSON, and what follows. */
const shape = (before: string, text: string, after: string): string => `data: ${before}${text}${after}}\n\n`;
const CHAT = ['{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":', '}}]'] as const;

/** A knower that has seen nothing reads each event with the schema. */
const bySchema = (chunk: Buffer): boolean => new PlainPieces().matches(chunk);

const befores = fc.constantFrom(
  CHAT[0],
  '{"choices":[{"index":0,"text":',
  '{"choices":[{"index":0,"delta":{"reasoning_content":',
  '{"\\"content":"","object":"chunk","choices":[{"index":0,"finish_reason":null,"\\"text":',
  '{"error":null,"choices":[{"index":1,"delta":{"\\"content":',
  '{"choices":[{"index":0}],"object":',
  '{"choices":[{"index":0,"finish_reason":',
  '{"choices":[{"index":0}],"content":',
  '{"content":"a","choices":[{"index":0}],"error":',
);
const afters = fc.constantFrom(
  CHAT[1],
  '}]',
  ',"finish_reason":null}]',
  ',"finish_reason":"stop"}]',
  ',"finish_reason":"abort"}}]',
  '}}],"error":null',
  '}}],"error":{"code":500}',
  '}}],"object":"error"',
  '}}],"choices":[]',
  '',
);
const texts = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
  fc.constantFrom('null', '"error"', '"\\u0041"', '"\\u00g1"', '"\\x"', '"\\', '"a\rb"', '"a\nb"', '"\u007f"'),
  // Whatever an engine could put there to end the string early.
  fc
    .array(fc.constantFrom('"', '\\', '\\u00', ',"error":1', '}]}\n\n', 'data: ', '"finish_reason":"stop"', 'x', 'é'))
    .map((parts) => `"${parts.join('')}"`),
);
const events = fc.tuple(befores, texts, afters).map(([before, text, after]) => shape(before, text, after));
/** One wrong byte anywhere, or none. */
const chunks = fc
  .tuple(fc.array(events, { minLength: 1, maxLength: 3 }), fc.option(fc.tuple(fc.nat(), fc.nat(255))))
  .map(([some, wrong]) => {
    const bytes = Buffer.from(some.join(''));
    if (wrong !== null) bytes[wrong[0] % bytes.length] = wrong[1];
    return bytes;
  });

test('what came before does not change the verdict on an event', () => {
  fc.assert(
    fc.property(fc.array(chunks, { minLength: 1, maxLength: 6 }), (stream) => {
      const plain = new PlainPieces();
      for (const chunk of stream) expect(plain.matches(chunk)).toBe(bySchema(chunk));
    }),
    { numRuns: 3_000 },
  );
});

test('an event that repeats the one before it is judged by its own text', () => {
  const around = fc.tuple(befores, afters);
  fc.assert(
    fc.property(around, fc.array(texts, { minLength: 2, maxLength: 6 }), ([before, after], all) => {
      const plain = new PlainPieces();
      for (const text of ['"a"', ...all]) {
        const chunk = Buffer.from(shape(before, text, after));
        expect(plain.matches(chunk)).toBe(bySchema(chunk));
      }
    }),
    { numRuns: 3_000 },
  );
});

test('pieces of text are plain; an end, an error and half an event are not', () => {
  const plain = new PlainPieces();
  const piece = (text: string): Buffer => Buffer.from(shape(CHAT[0], JSON.stringify(text), CHAT[1]));
  for (const text of ['', ' w', '\n', '"quoted" \\ back', 'é 漢 🎉', '\u0001'])
    expect(plain.matches(piece(text))).toBe(true);
  expect(plain.matches(Buffer.concat([piece('a'), piece('b')]))).toBe(true);
  expect(plain.matches(piece('a').subarray(0, -1))).toBe(false);
  expect(plain.matches(Buffer.concat([piece('a'), Buffer.from('data: [DONE]\n\n')]))).toBe(false);
  expect(plain.matches(Buffer.from(shape(CHAT[0], '"a"', '},"finish_reason":"stop"}]')))).toBe(false);
  expect(plain.matches(Buffer.from(shape(CHAT[0], '"a"', '}}],"error":{"code":500}')))).toBe(false);
});
