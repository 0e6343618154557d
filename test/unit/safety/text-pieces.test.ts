import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { packedTexts } from '../../../gateway/safety/text-pieces.ts';

test('long texts are cut, short ones joined: no piece is too long, and each term is whole in one', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '. ', '😀'), maxLength: 900 });
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word), { maxLength: 6 }), (halves) => {
      const texts = halves.map(([before, after]) => `${before}verboten${after}`);
      const pieces = packedTexts(texts, 1_200);
      const count = (piece: string): number => piece.split('verboten').length - 1;
      expect(pieces.every((piece) => piece.length <= 1_200 && piece.isWellFormed())).toBe(true);
      expect(pieces.map(count).reduce((sum, n) => sum + n, 0)).toBeGreaterThanOrEqual(texts.length);
      for (const text of texts)
        for (const part of text.match(/.{1,150}/gsu) ?? [])
          expect(pieces.some((piece) => piece.includes(part))).toBe(true);
    }),
  );
});

test('short texts of a long conversation are one question', () => {
  expect(
    packedTexts(
      Array.from({ length: 40 }, () => 'How many boats are there?'),
      10_000,
    ),
  ).toHaveLength(1);
});

test('a text is cut after a sentence', () => {
  const [first = '', second = ''] = packedTexts([`${'A sentence ends here. '.repeat(80)}`], 1_500);
  expect(first.endsWith('here.')).toBe(true);
  expect(first.endsWith(second.slice(0, 200))).toBe(true);
});
