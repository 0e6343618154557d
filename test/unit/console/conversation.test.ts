import { expect, test } from '@jest/globals';
import type { ConsoleModel } from '#contract/console';
import { SENT } from '../../../gateway/console/playground/answer.ts';
import { chatBody, picturesIn, type Turn } from '../../../gateway/console/playground/conversation.ts';
import { NOTHING_TYPED, parameterProblem, parametersOf } from '../../../gateway/console/playground/parameters.ts';
import { choosePictures } from '../../../gateway/console/playground/pictures.ts';
import { MODEL } from './model.ts';

const PNG = { type: 'image/png', size: 2_000 };
const picture = { name: 'a.png', bytes: 3, dataUri: 'data:image/png;base64,AAAA' };
const turn = (text: string, answer: string, pictures = [picture]): Turn => ({
  question: { text, pictures },
  answer: { ...SENT, state: 'complete', text: answer },
});

test('a request has the rules, the answered turns with their picture, and the next question', () => {
  const turns = [turn('What is it?', 'A cat.'), turn('lost', '', [])];
  const typed = { ...NOTHING_TYPED, max_tokens: '64', temperature: '0' };
  expect(chatBody(MODEL, 'Be brief.', turns, { text: 'And now?', pictures: [] }, typed)).toEqual({
    model: MODEL.name,
    messages: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: picture.dataUri } },
          { type: 'text', text: 'What is it?' },
        ],
      },
      { role: 'assistant', content: 'A cat.' },
      { role: 'user', content: 'And now?' },
    ],
    max_tokens: 64,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  expect(picturesIn(turns)).toBe(1);
});

test.each([
  ['one file', [PNG], { sent: 0, held: 0 }, 'add', /^$/],
  ['two files', [PNG, PNG], { sent: 0, held: 0 }, 'none', /takes 1 picture in a conversation. You gave 2. Choose one/],
  ['a second one, before it is sent', [PNG], { sent: 0, held: 1 }, 'replace', /1 picture .* earlier one was replaced/],
  ['a second one, after it was sent', [PNG], { sent: 1, held: 0 }, 'none', /has it already: clear the conversation/],
  ['a text file', [{ type: 'text/plain', size: 1 }], { sent: 0, held: 0 }, 'none', /not a picture/],
  ['a huge file', [{ ...PNG, size: 60_000_000 }], { sent: 0, held: 0 }, 'none', /too large: .* 50 MB/],
])('the rule of one picture is told and never hit: %s', (_what, files, room, take, note) => {
  const choice = choosePictures(files, { name: MODEL.name, most: MODEL.images, ...room });
  expect(choice).toEqual({ take, note: expect.stringMatching(note) });
});

test('a model without pictures, and one with several', () => {
  const room = { name: 'm', sent: 1, held: 1 };
  expect(choosePictures([PNG], { ...room, most: 0 })).toEqual({ take: 'none', note: 'm takes no pictures.' });
  expect(choosePictures([PNG], { ...room, most: 3 })).toEqual({ take: 'add', note: '' });
  expect(choosePictures([PNG, PNG, PNG], { ...room, most: 3 }).note).toContain('You gave 3. Choose 2.');
});

test.each([
  ['max_tokens', '4096', undefined],
  ['max_tokens', '4097', /a whole number from 1 to 4,096/],
  ['max_tokens', '1.5', /a whole number/],
  ['temperature', '2.1', /a number from 0 to 2/],
  ['temperature', '', undefined],
  ['top_p', '0', /from 0.01 to 1/],
  ['seed', '-1', /0 or more/],
  ['seed', 'x', /a whole number/],
] as const)('%s = %p is within the limits of the card, or the page says what is allowed', (name, typed, problem) => {
  const parameter = parametersOf(MODEL).find((one) => one.name === name);
  if (parameter === undefined) throw new Error(name);
  const found = parameterProblem(parameter, typed);
  if (problem === undefined) expect(found).toBeUndefined();
  else expect(found).toMatch(problem);
});

test('the limit of tokens is that of the card', () => {
  const small: ConsoleModel = { ...MODEL, maxOutputTokens: 100, defaultOutputTokens: 50 };
  expect(parametersOf(small)[0]).toMatchObject({ name: 'max_tokens', highest: 100, unset: '50' });
});
