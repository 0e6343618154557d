import { expect, test } from '@jest/globals';
import type { EnginePath } from '#contract/job';
import { AnswerEnd } from '../../../worker-launcher/dispatch/answer-end.ts';

const CHAT = '/v1/chat/completions';
const STREAM = 'text/event-stream; charset=utf-8';
const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const role = event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });
const word = event({ choices: [{ index: 0, delta: { content: 'word ' } }] });
const closing = event({ choices: [], usage: { prompt_tokens: 7, total_tokens: 10, completion_tokens: 3 } });
const DONE = 'data: [DONE]\n\n';

function tokens(
  contentType: string,
  chunks: readonly string[],
  isOver: boolean,
  path: EnginePath = CHAT,
  status = 200,
) {
  const end = new AnswerEnd();
  end.head(status, contentType);
  for (const chunk of chunks) end.add(Buffer.from(chunk));
  return end.tokens(path, isOver);
}
const exact = (prompt: number, answer: number) => ({ prompt, answer, partial: 0 });
const partial = (count: number) => ({ prompt: 0, answer: 0, partial: count });

test.each([
  ['in chunks of its own', [role, word, word, word, closing, DONE]],
  ['all in one chunk', [[role, word, word, word, closing, DONE].join('')]],
  ['divided between two chunks', [role + word, word + word + closing.slice(0, 40), closing.slice(40) + DONE]],
])('the engine’s count of a stream is read, %s', (_how, chunks) => {
  expect(tokens(STREAM, chunks, true)).toEqual(exact(7, 3));
});

test('a stream that ended is counted by its engine, also if its connection stayed open', () => {
  expect(tokens(STREAM, [role, word, closing, DONE], false)).toEqual(exact(7, 3));
});

test('a stream that was cut has as many tokens as events with content; comments are none', () => {
  expect(tokens(STREAM, [role, word, ': ping\n\n', word + word], false)).toEqual(partial(3));
  expect(tokens(STREAM, [], false)).toEqual(partial(0));
});

test('a stream with running usage that was cut has the engine’s last count', () => {
  const running = event({
    choices: [{ delta: { content: 'two' } }],
    usage: { prompt_tokens: 7, completion_tokens: 8 },
  });
  expect(tokens(STREAM, [role, running], false)).toEqual(partial(8));
});

test('an error event at the end makes it partial, and is no token', () => {
  const failed = `data: {"error":{"message":"EngineCore died","code":500}}\n\n${DONE}`;
  expect(tokens(STREAM, [role, word, word, failed], true)).toEqual(partial(2));
});

test('whole answers: chat, with text that looks like usage; responses; a refusal has none', () => {
  const chat = {
    choices: [{ message: { content: 'say "usage":{"prompt_tokens":1}' } }],
    usage: { prompt_tokens: 5, completion_tokens: 9, prompt_tokens_details: { cached_tokens: 2 } },
    kv_transfer_params: null,
  };
  expect(tokens('application/json', [JSON.stringify(chat)], true)).toEqual(exact(5, 9));
  const response = { status: 'completed', usage: { input_tokens: 4, output_tokens: 6, output_tokens_details: {} } };
  expect(tokens('application/json', [JSON.stringify(response)], true, '/v1/responses')).toEqual(exact(4, 6));
  expect(tokens('application/json', ['{"error":{"code":400}}'], true, CHAT, 400)).toEqual(partial(0));
  expect(tokens('application/json', ['{"count":3,"tokens":[1,2,3]}'], true, '/tokenize')).toEqual(partial(0));
});

test('a response that was streamed has its count in its closing event', () => {
  const completed = `event: response.completed\n${event({ response: { usage: { input_tokens: 4, output_tokens: 6 } } })}`;
  expect(tokens(STREAM, [completed], true, '/v1/responses')).toEqual(exact(4, 6));
});

test('the reasons why choices ended are in the last chunks, and no text is taken for one', () => {
  const end = new AnswerEnd();
  end.head(200, 'text/event-stream');
  end.add(
    Buffer.from(
      'data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"secret\\""},"finish_reason":null}]}\n\n',
    ),
  );
  end.add(Buffer.from('data: {"choices":[{"delta":{"content":""},"finish_reason":"length"}]}\n\n'));
  end.add(Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'));
  expect(end.finishReasons).toEqual(['length']);
  end.add(Buffer.from('data: [DONE]\n\n'));
  expect(end.finishReasons).toEqual(['length']);
});
