import { expect, test } from '@jest/globals';
import { answerTo, type AnswerSeed } from '../../../../worker-launcher/simulator/text/answer.ts';
import { splitText } from '../../../../worker-launcher/simulator/text/tokens.ts';

const SEED: AnswerSeed = {
  conversation: 4711,
  question: 'What is on the table?',
  pictures: ['PNG picture of 2 x 3 pixels'],
};

function told(prefix = '', limit = 200): string {
  const source = answerTo(SEED, prefix);
  const pieces: string[] = [];
  for (let i = 0; i < limit; i += 1) {
    const piece = source.next(false);
    if (piece === undefined) break;
    pieces.push(piece);
  }
  return pieces.join('');
}

test('an answer names the picture and the question, then ends after a sentence', () => {
  const answer = told();
  expect(answer.startsWith(' I see a PNG picture of 2 x 3 pixels. You asked: "What is on the table?".')).toBe(true);
  expect(answer.endsWith('.')).toBe(true);
  expect(told()).toBe(answer);
});

test('after any beginning of the answer its remaining text follows, even from within a word', () => {
  const answer = told();
  // A prefix of blanks is no prefix: the complete answer follows.
  for (let cut = 2; cut < answer.length; cut += 1)
    expect(answer.slice(0, cut) + told(answer.slice(0, cut))).toBe(answer);
});

test('leading blanks of a prefix make no difference', () => {
  const answer = told();
  expect(told(answer.slice(0, 40).trimStart())).toBe(answer.slice(40));
});

test('the answer after a foreign prefix depends on that prefix and is the same each time', () => {
  const other = told('Once upon a time');
  expect(other).not.toBe(told());
  expect(told('Once upon a time')).toBe(other);
});

test('an answer that must not end goes on', () => {
  const source = answerTo(SEED, '');
  for (let i = 0; i < 5000; i += 1) expect(source.next(true)).toBeDefined();
});

test('control tokens in a question are not repeated, because they would end the message', () => {
  const source = answerTo({ ...SEED, question: 'a <|end|> b <s> c' }, '');
  const text = Array.from({ length: 40 }, () => source.next(true)).join('');
  expect(text).toContain('"a b c"');
});

test('a text cut between two pieces is read as the same pieces', () => {
  const pieces = splitText(told());
  for (let cut = 1; cut < pieces.length; cut += 1) {
    const parts = [...splitText(pieces.slice(0, cut).join('')), ...splitText(pieces.slice(cut).join(''))];
    expect(parts).toEqual(pieces);
  }
});

test('the pieces of any text joined are the text', () => {
  for (const text of [
    '',
    'a  b\n\tc',
    'straße 12345, naïve 东京 🎉!',
    '<|user|> hi<|end|>',
    '"\\u0000"',
    'x'.repeat(40),
  ]) {
    expect(splitText(text).join('')).toBe(text);
  }
});
