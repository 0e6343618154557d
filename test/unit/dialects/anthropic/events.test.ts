import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { MessageEvents } from '../../../../gateway/dialects/anthropic/events.ts';

const HEAD = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' };
const chunk = (delta: object, ended: object = { finish_reason: null }, counted = 0): string =>
  `data: ${JSON.stringify({
    ...HEAD,
    choices: [{ index: 0, delta, ...ended }],
    usage: { prompt_tokens: 7, completion_tokens: counted },
  })}\n\n`;
const DONE = 'data: [DONE]\n\n';
const call = (index: number, fields: object) => ({ tool_calls: [{ index, ...fields }] });
const Event = z.looseObject({ type: z.string() });

function translated(...pieces: readonly string[]): z.infer<typeof Event>[] {
  const events = new MessageEvents();
  const out = pieces.map((piece) => events.translate(piece)).join('');
  expect(out === '' || out.endsWith('\n\n')).toBe(true);
  return out
    .split('\n\n')
    .slice(0, -1)
    .map((block) => {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
      const event = Event.parse(JSON.parse(data));
      expect(event.type).toBe(name);
      return event;
    });
}

test('text and calls become successive blocks, and the end has reason and usage', () => {
  const events = translated(
    chunk({ role: 'assistant', content: '' }),
    chunk({ content: 'I ' }) + chunk({ content: 'look.' }),
    chunk(call(0, { id: 'call_1', type: 'function', function: { name: 'f', arguments: '' } })),
    chunk(call(0, { function: { arguments: '{"a":' } })),
    chunk(call(0, { function: { arguments: '1}' } })),
    chunk(call(1, { id: 'call_2', type: 'function', function: { name: 'g', arguments: '{}' } })),
    chunk({}, { finish_reason: 'tool_calls', stop_reason: null }, 9),
    DONE,
  );
  const piece = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta });
  const begin = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block });
  const end = (index: number) => ({ type: 'content_block_stop', index });
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: null };
  expect(events).toEqual([
    {
      type: 'message_start',
      message: { ...message, stop_sequence: null, usage: { input_tokens: 7, output_tokens: 0 } },
    },
    begin(0, { type: 'text', text: '' }),
    piece(0, { type: 'text_delta', text: 'I ' }),
    piece(0, { type: 'text_delta', text: 'look.' }),
    end(0),
    begin(1, { type: 'tool_use', id: 'call_1', name: 'f', input: {} }),
    piece(1, { type: 'input_json_delta', partial_json: '{"a":' }),
    piece(1, { type: 'input_json_delta', partial_json: '1}' }),
    end(1),
    begin(2, { type: 'tool_use', id: 'call_2', name: 'g', input: {} }),
    piece(2, { type: 'input_json_delta', partial_json: '{}' }),
    end(2),
    {
      type: 'message_delta',
      delta: { stop_reason: 'tool_use', stop_sequence: null },
      usage: { input_tokens: 7, output_tokens: 9 },
    },
    { type: 'message_stop' },
  ]);
});

test('a comment is a ping, also before the message', () => {
  const types = translated(': keep-alive\n\n', chunk({ content: 'a' }), ': keep-alive\n\n').map(({ type }) => type);
  expect(types).toEqual(['ping', 'message_start', 'content_block_start', 'content_block_delta', 'ping']);
});

test('no end event is sent without the engine’s, or after an unreadable event', () => {
  const last = chunk({}, { finish_reason: 'stop' });
  expect(translated(chunk({ content: 'a' }), last).map(({ type }) => type)).not.toContain('message_stop');
  const events = translated(chunk({ content: 'a' }), 'data: {"id":"x","choices":[{\n\n', last, DONE);
  expect(events.at(-1)).toMatchObject({ type: 'error', error: { type: 'api_error', code: 'engine_failed' } });
  expect(events.map(({ type }) => type)).not.toContain('message_stop');
});
