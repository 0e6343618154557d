import { z } from 'zod';
import { png } from '../support/pictures.ts';
import { INPUT_FAULTS, type InputFault } from './input-faults.ts';
import type { ParameterFault } from './parameter-faults.ts';
import { WITH_MESSAGES, messages } from './route.ts';

/** Faults in requests of Anthropic's API: those of any conversation, and those of its own fields. */

const at = '[0].content[1]';
const Turn = z.tuple([
  z.object({ content: z.tuple([z.unknown(), z.object({ image_url: z.object({ url: z.string() }) })]) }),
]);
const text = { type: 'text', text: 'what is it?' };
const shown = (source: unknown): unknown => [{ role: 'user', content: [text, { type: 'image', source }] }];

/** Fields that only OpenAI's messages have. */
const ELSEWHERE = ['a name that is no text', 'calls that are no list'];
const SAME = INPUT_FAULTS.filter(
  ({ fault, input, routes }) =>
    routes === WITH_MESSAGES && !ELSEWHERE.includes(fault) && !JSON.stringify(input('')).includes('image'),
);
const PICTURES = INPUT_FAULTS.filter(({ inside }) => inside === '[0].content[1].image_url.url').map((one) => ({
  ...one,
  input: (pictures: string): unknown => {
    const [{ content }] = Turn.parse(one.input(pictures));
    return shown({ type: 'url', url: content[1].image_url.url });
  },
  inside: `${at}.source`,
}));

type Row = readonly [fault: string, input: unknown, inside: string, code?: InputFault['code']];
const picture = { type: 'base64', media_type: 'image/png', data: png(8, 6).toString('base64') };
const OWN: readonly Row[] = [
  ['a picture without a source', shown(undefined), `${at}.source`],
  ['a source of unknown type', shown({ type: 'pigeon' }), `${at}.source.type`],
  ['a stored picture', shown({ type: 'file', file_id: 'a' }), `${at}.source`, 'unsupported_parameter'],
  ['a picture of another media type', shown({ ...picture, media_type: 'image/tiff' }), `${at}.source.media_type`],
  ['a picture without data', shown({ ...picture, data: '' }), `${at}.source.data`],
  ['data with a character that does not belong', shown({ ...picture, data: '@@@@' }), `${at}.source`, 'invalid_image'],
  ['data that is not a picture', shown({ ...picture, data: 'AAAA' }), `${at}.source`, 'invalid_image'],
  [
    'thoughts',
    [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm' }] }],
    '[0].content[0]',
    'unsupported_parameter',
  ],
  ['a document', [{ role: 'user', content: [{ type: 'document' }] }], '[0].content[0].type'],
  ['a result without its call', [{ role: 'user', content: [{ type: 'tool_result' }] }], '[0].content[0].tool_use_id'],
  [
    'a call without input',
    [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f' }] }],
    '[0].content[0].input',
  ],
];

export const MESSAGE_INPUTS: readonly InputFault[] = [
  ...SAME,
  ...PICTURES,
  ...OWN.map(([fault, input, inside, code = 'invalid_request' as const]) => ({
    fault,
    input: () => input,
    inside,
    code,
  })),
].map((one) => ({ ...one, routes: [messages] }));

const NOT_YOURS = 'unsupported_parameter';
const FIELDS: readonly (readonly [
  fault: string,
  name: string,
  value: unknown,
  code?: ParameterFault['code'],
  inside?: string,
])[] = [
  ['an answer of no tokens', 'max_tokens', 0],
  ['a length as text', 'max_tokens', '64'],
  ['a length above the card', 'max_tokens', 4_097, 'max_tokens_exceeded'],
  ['a temperature above the largest', 'temperature', 1.5],
  ['a share above one', 'top_p', 1.5],
  ['a negative count', 'top_k', -1],
  ['a stop sequence outside a list', 'stop_sequences', 'END'],
  ['a number among stop sequences', 'stop_sequences', ['END', 5], 'invalid_request', '[1]'],
  ['an unknown word for stream', 'stream', 'maybe'],
  ['a model that is not served', 'model', 'gpt-4o', 'model_not_found'],
  ['a number as system', 'system', 5],
  ['a picture in system', 'system', [{ type: 'image', source: picture }], 'invalid_request', '[0].type'],
  ['thinking', 'thinking', { type: 'enabled', budget_tokens: 1_024 }, NOT_YOURS],
  ['a form of the answer', 'output_config', { format: {} }, NOT_YOURS],
  ['a server of tools', 'mcp_servers', [{ url: 'x' }], NOT_YOURS],
  ['a container', 'container', 'a', NOT_YOURS],
  ['a tool, which this model does not call', 'tools', [{ name: 'f', input_schema: { type: 'object' } }], NOT_YOURS],
  ['a tool of theirs', 'tools', [{ type: 'bash_20250124', name: 'bash' }], NOT_YOURS, '[0].type'],
  ['a tool without a schema', 'tools', [{ name: 'f' }], 'invalid_request', '[0].input_schema'],
  ['a tool without a name', 'tools', [{ input_schema: {} }], 'invalid_request', '[0].name'],
  ['an unknown choice of tools', 'tool_choice', { type: 'maybe' }, 'invalid_request', '.type'],
];

export const MESSAGE_PARAMETERS: readonly ParameterFault[] = FIELDS.map(
  ([fault, name, value, code = 'invalid_request', inside = '']) => ({
    fault,
    name,
    value,
    code,
    inside,
    routes: [messages],
    beside: {},
  }),
);
