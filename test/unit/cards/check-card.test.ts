import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { problemsBetween, problemsOfText, valueOf } from '../../../gateway/cards/check-card.ts';

const CARD = readFileSync('deploy/models/phi-3-vision-128k-instruct.yaml', 'utf8');
const changed = (from: string | RegExp, to: string): string => {
  const text = CARD.replace(from, to);
  if (text === CARD) throw new Error(`the card has no ${from}`);
  return text;
};

test('the shipped card is valid', () => {
  expect(problemsOfText(CARD)).toEqual([]);
});

test.each([
  [/^version: '2'$/m, 'version: 2', 'version must be a text, and is 2.'],
  [/^task: .*$/m, 'task: embeddings', 'task must be "chat-completion" or "text-generation", and is "embeddings".'],
  [/^task: .*$/m, '', 'task is missing.'],
  [/^name: .*$/m, 'name: 3 models', 'name must begin with a letter and go on with letters, digits, dots,'],
  [/batch: false/, '', 'limits.batch is missing.'],
  [/batch: false/, 'batch: "no"', 'limits.batch must be true or false, and is "no".'],
  [/batch: false/, 'batch: false\n  images: 2', 'limits has the unknown field images.'],
  [/context_tokens: .*/, 'context_tokens: 0', 'limits.context_tokens must be above 0, and is 0.'],
  [/context_tokens: .*/, 'context_tokens: "128k"', 'limits.context_tokens must be a number, and is "128k".'],
  [/context_tokens: .*/, 'context_tokens: 1.5', 'limits.context_tokens must be a whole number, and is 1.5.'],
  [
    /context_tokens: .*/,
    'context_tokens: 2048',
    'limits.max_output_tokens (4096) is larger than limits.context_tokens (2048).',
  ],
  [/default_output_tokens: .*/, 'default_output_tokens: 5000', 'limits.default_output_tokens (5000) is larger than'],
  [/images_per_conversation: 1/, 'images_per_conversation: 0', 'limits.images_per_conversation allows none.'],
  [/input: \[text, image\]/, 'input: [text]', 'modalities.input has no image.'],
  [/input: \[text, image\]/, 'input: []', 'modalities.input must be at least 1 item long, and is [].'],
  [/supported: \[vllm\]/, 'supported: [hf]', 'engine.supported.0 must be "vllm", and is "hf".'],
  [/image: 32/, 'image: 0', 'engine.max_in_flight.image allows no request'],
  [/mm_processor_kwargs:\n    num_crops: 16/, 'mm_processor_kwargs:\n    num_crops: 4', 'must be the same'],
  [/formula: phi3_v/, 'formula: llava', 'tokens.image.formula'],
  [/^limits:$/m, 'limits: [', 'is not YAML'],
])('%s → %j: one sentence names the problem', (from, to, sentence) => {
  const problems = problemsOfText(changed(from, to));
  expect(problems.join('\n')).toContain(sentence);
  for (const problem of problems) expect(problem).toMatch(/^\w.*\.$/s);
});

test('a card that is not a mapping', () => {
  expect(problemsOfText('just a text')).toEqual(['The card must be a mapping, and is "just a text".']);
});

test('two cards with one name between them', () => {
  const other = valueOf(changed(/^name: .*$/m, 'name: Phi-5'));
  expect(
    problemsBetween([
      { file: 'a', value: valueOf(CARD) },
      { file: 'b', value: other },
    ]),
  ).toEqual(['two model cards have the name azureai.']);
});
