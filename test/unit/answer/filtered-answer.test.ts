import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { EnginePath } from '#contract/job';
import type { AnswerFilter } from '../../../gateway/answer/answer-filter.ts';
import type { ClientStream } from '../../../gateway/answer/client-stream.ts';
import { filteredAnswer } from '../../../gateway/answer/filtered-answer.ts';
import { HeldStream } from '../../../gateway/answer/held-stream.ts';

const WORD = 'verboten';
const FILTER: AnswerFilter = {
  prompt: undefined,
  judge: async (texts) => ({ isBlocked: texts.some((text) => text.includes(WORD)), results: {} }),
  windowCharacters: 200,
  blocked: () => {},
};
const signal = new AbortController().signal;
const call = { id: 'c', type: 'function', function: { name: `do_${WORD}_things`, arguments: '{}' } };

const whole = (path: EnginePath, answer: object): Promise<Buffer> => {
  const body = Buffer.from(JSON.stringify(answer));
  return filteredAnswer({ path, body, outline: body, isTold: false }, FILTER, signal);
};

test.each<[string, EnginePath, object]>([
  [
    'the name of a call',
    '/v1/chat/completions',
    { choices: [{ index: 0, message: { content: null, tool_calls: [call] } }] },
  ],
  ['a choice without an index', '/v1/chat/completions', { choices: [{ message: { content: WORD } }] }],
  ['a text without an index', '/v1/completions', { choices: [{ index: null, text: WORD }] }],
  ['an item that is a call', '/v1/responses', { output: [{ type: 'function_call', name: WORD, arguments: '{}' }] }],
  ['what a call gave', '/v1/responses', { output: [{ type: 'mcp_call', name: 'x', output: WORD }] }],
])('a whole answer passes no word of the model: %s', async (_what, path, answer) => {
  expect((await whole(path, answer)).toString()).not.toContain(WORD);
});

class Client implements ClientStream {
  got = '';
  readonly isBegun = true;
  readonly isGone = false;
  readonly unsentBytes = 0;
  send(): void {}
  write(piece: Buffer | string): void {
    this.got += piece.toString();
  }
  end(): void {}
  cut(): void {}
  giveUp(): void {}
}
const item = { type: 'function_call', name: WORD, arguments: '' };

test.each<[string, EnginePath, object[]]>([
  [
    'the name of a call',
    '/v1/chat/completions',
    [{ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...call }] } }] }],
  ],
  ['a choice without an index', '/v1/completions', [{ choices: [{ text: WORD }] }]],
  [
    'an item that is a call',
    '/v1/responses',
    [
      { type: 'response.created', sequence_number: 0, response: { tools: [{ name: WORD }], output: [] } },
      { type: 'response.output_item.added', sequence_number: 1, output_index: 0, item },
    ],
  ],
  [
    'the arguments of a call, in pieces',
    '/v1/responses',
    ['{"a":"ver', 'boten"}'].map((delta) => ({
      type: 'response.function_call_arguments.delta',
      item_id: 'i',
      output_index: 0,
      delta,
    })),
  ],
])('nor does a stream: %s', async (_what, path, events) => {
  const client = new Client();
  const stream = new HeldStream(client, {
    path,
    choices: 1,
    filter: FILTER,
    isTold: false,
    signal,
    clock: () => performance.now(),
    stop: () => {},
    onFirst: () => {},
  });
  for (const event of events) {
    stream.write(Buffer.from(`data: ${JSON.stringify(event)}\n\n`));
    await turn();
  }
  await stream.settle();
  expect(stream.isBlocked).toBe(true);
  // The definition of a tool, which the response repeats, is the caller's.
  expect(client.got.replaceAll(`"tools":[{"name":"${WORD}"}]`, '')).not.toContain(WORD);
});
