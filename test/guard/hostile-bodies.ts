import { brotliCompressSync, constants, deflateRawSync, gzipSync } from 'node:zlib';
import { inField, inInput, inText, type Attacked } from './attacked-routes.ts';
import { HOSTILE_PICTURES } from './hostile-pictures.ts';

/** One hostile body. */
interface Sent {
  readonly bytes: string | Buffer;
  readonly headers?: readonly string[];
  readonly path?: string;
}
export interface Hostile {
  /** N2 if absent */
  readonly row?: 'N3';
  readonly name: string;
  /** undefined if that route has no place for it */
  readonly body: (route: Attacked) => Sent | undefined;
}

/** Just below the limits of a body, its bytes outside pictures, its values, its texts. */
const [BODY, TEXT, VALUES, TEXTS] = [19_900_000, 4_100_000, 262_000, 32_000];
const list = (count: number, piece: string): string => `[${`${piece},`.repeat(count - 1)}${piece}]`;
const fields = (count: number, name: (index: number) => string, value = '1'): string =>
  `{${Array.from({ length: count }, (_, index) => `"${name(index)}":${value}`).join(',')}}`;
const schema = (raw: string): string =>
  `{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":${raw}}}`;
const nested = (depth: number, open: string, inner: string, close: string): string =>
  open.repeat(depth) + inner + close.repeat(depth);
const br = (bytes: Buffer): Buffer => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

/** Values for the input's place. */
const INPUTS: readonly (readonly [name: string, raw: () => string])[] = [
  ['20 MB of opened lists', () => '['.repeat(BODY)],
  ['20 MB of opened objects', () => '{"a":'.repeat(BODY / 5)],
  ['2,800 lists 90 deep', () => list(2_800, nested(90, '[', '', ']'))],
  ['20 MB of commas', () => `[${','.repeat(BODY)}]`],
  ['262,000 numbers', () => list(VALUES, '1')],
  ['262,000 token ids in pairs', () => list(80_000, '[1,2]')],
  ['131,000 token ids', () => list(131_000, '450')],
  ['130,000 empty objects', () => list(VALUES / 2, '{}')],
  ['32,000 texts', () => list(TEXTS, '"a"')],
  ['2,000 messages', () => list(2_000, '{"role":"user","content":"a"}')],
  ['30,000 messages of nothing', () => list(60_000, '{}')],
  [
    '4,000 parts that end in a bracket',
    () => `[{"role":"user","content":${list(3_900, '{"type":"text","text":"<"}')}}]`,
  ],
  [
    'pictures by the thousand',
    () => `[{"role":"user","content":${list(3_000, '{"type":"image_url","image_url":{"url":"http://a.test/"}}')}}]`,
  ],
  [
    'calls with arguments full of escapes',
    () =>
      `[{"role":"assistant","content":"","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"${'\\\\u003c'.repeat(580_000)}"}}]}]`,
  ],
  ['20 MB of white space', () => `${' '.repeat(BODY)}1`],
  ['4 MB of white space', () => `${'\n'.repeat(TEXT)}[]`],
  ['a number of 4 MB', () => '1'.repeat(TEXT)],
  ['a fraction of 4 MB', () => `0.${'1'.repeat(TEXT)}`],
  ['numbers beyond all bounds', () => list(200_000, '1e999')],
  [
    '4,800 pictures of 4 kB',
    () =>
      `[{"role":"user","content":${list(4_700, `{"type":"image_url","image_url":{"url":"data:image/png;base64,${'A'.repeat(4_096)}"}}`)}}]`,
  ],
  ['pictures that never end', () => '"url":"data:'.repeat(BODY / 12)],
];

/** Values inside a text of the conversation. */
const TEXTS_OF: readonly (readonly [name: string, raw: () => string])[] = [
  ['a text of 4 MB', () => 'a'.repeat(TEXT)],
  ['a text of escaped quotes', () => '\\"'.repeat(TEXT / 2)],
  ['a text of escaped backslashes', () => '\\\\'.repeat(TEXT / 2)],
  ['a text of \\u0000', () => '\\u0000'.repeat(TEXT / 6)],
  ['a text of escaped pairs', () => '\\ud83d\\ude00'.repeat(TEXT / 12)],
  ['a text of half pairs', () => '\\ud83d'.repeat(TEXT / 6)],
  ['a text of emoji', () => '😀'.repeat(TEXT / 4)],
  ['a text of spaces', () => ' '.repeat(TEXT)],
  ['a text of special tokens', () => '<|user|>'.repeat(TEXT / 8)],
  ['a text of beginnings of special tokens', () => '<|'.repeat(TEXT / 2)],
  ['a text of names without an end', () => `<|${'a'.repeat(TEXT)}`],
  ['a text of brackets', () => '<'.repeat(TEXT)],
  ['a text of </s>', () => '</s>'.repeat(TEXT / 4)],
  ['a text of 20 MB', () => 'a'.repeat(BODY)],
  ['a text of 2 MB that fits the context', () => 'word wor '.repeat(220_000)],
];

/** Values for a field. */
const FIELDS: readonly (readonly [name: string, field: string, raw: () => string])[] = [
  ['an unknown field of 262,000 nulls', 'zz', () => list(VALUES, 'null')],
  ['an unknown field of 16,000 fields', 'zz', () => fields(TEXTS / 2, String)],
  ['one field 16,000 times', 'zz', () => fields(TEXTS / 2, () => 'a')],
  ['fields named __proto__', 'zz', () => nested(90, '{"__proto__":', '1', '}')],
  ['a field name of 4 MB', 'zz', () => `{"${'a'.repeat(TEXT)}":1}`],
  ['16,000 field names of 250 letters', 'zz', () => fields(TEXTS / 2, (n) => String(n).padEnd(250, 'x'))],
  ['30,000 stop texts', 'stop', () => list(30_000, '"a"')],
  ['a stop text of 4 MB', 'stop', () => `["${'a'.repeat(TEXT)}"]`],
  ['262,000 stop ids', 'stop_token_ids', () => list(VALUES, '1')],
  ['30,000 biases', 'logit_bias', () => fields(30_000, String)],
  ['30,000 bad words', 'bad_words', () => list(30_000, '"a"')],
  ['262,000 allowed ids', 'allowed_token_ids', () => list(VALUES, '1')],
  [
    '128 tools with a schema each',
    'tools',
    () => list(128, `{"type":"function","function":{"name":"f","parameters":${nested(40, '{"a":', '1', '}')}}}`),
  ],
  ['15,000 tools', 'tools', () => list(15_000, '{"type":"function"}')],
  ['metadata of 16,000 fields', 'metadata', () => fields(TEXTS / 2, String, '"a"')],
  [
    'a schema of 15,000 properties',
    'response_format',
    () => schema(`{"type":"object","properties":${fields(15_000, String, '{"type":"string"}')}}`),
  ],
  [
    'a schema of 4,900 properties',
    'response_format',
    () => schema(`{"type":"object","properties":${fields(4_900, String, '{"type":"string"}')}}`),
  ],
  ['a schema 90 deep', 'response_format', () => schema(nested(45, '{"properties":{"a":', '{}', '}}'))],
  [
    'a schema with 260,000 numbers deep inside',
    'response_format',
    () => schema(nested(28, '{"items":', list(VALUES - 1_000, '1'), '}')),
  ],
  ['a schema with 100,000 alternatives', 'response_format', () => schema(`{"anyOf":${list(130_000, '{}')}}`)],
  ['a schema that holds 4 MB as const', 'response_format', () => schema(`{"const":"${'a'.repeat(TEXT)}"}`)],
  ['a schema with a description of 4 MB', 'response_format', () => schema(`{"description":"${'a'.repeat(TEXT)}"}`)],
  [
    'a schema with patterns that nest',
    'response_format',
    () => schema(`{"pattern":"${'(a?'.repeat(60)}${')*'.repeat(60)}"}`),
  ],
  [
    'a schema with 15,000 patterns',
    'response_format',
    () => schema(`{"patternProperties":${fields(15_000, (n) => `^a${n}`, '{}')}}`),
  ],
  [
    'a schema of references in a ring',
    'response_format',
    () =>
      schema(
        '{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}',
      ),
  ],
  ['a grammar that is one comment', 'structured_outputs', () => `{"grammar":"${'#'.repeat(65_000)}\\r"}`],
  ['a grammar of slashes', 'structured_outputs', () => `{"grammar":"${'/'.repeat(65_000)}"}`],
  ['a grammar of open quotes', 'structured_outputs', () => `{"grammar":"root ::= ${'\\"\\n'.repeat(21_000)}"}`],
  ['a grammar of open sets', 'structured_outputs', () => `{"grammar":"root ::= ${'['.repeat(65_000)}"}`],
  ['a grammar of blanks and colons', 'structured_outputs', () => `{"grammar":"${' a :'.repeat(16_000)}"}`],
  [
    'a grammar of alternatives',
    'structured_outputs',
    () => `{"grammar":"root ::= ${'\\"a\\"|'.repeat(10_000)}\\"b\\""}`,
  ],
  ['a grammar of 4 MB', 'structured_outputs', () => `{"grammar":"${'a'.repeat(TEXT)}"}`],
  [
    'a regular expression of groups',
    'structured_outputs',
    () => `{"regex":"${'('.repeat(2_000)}${')'.repeat(2_000)}"}`,
  ],
  ['a regular expression of counts', 'structured_outputs', () => `{"regex":"${'a{1,9}'.repeat(600)}"}`],
  ['a regular expression of digits', 'structured_outputs', () => `{"regex":"a{${'1'.repeat(4_000)}}"}`],
  ['30,000 choices', 'structured_outputs', () => `{"choice":${list(30_000, '"a"')}}`],
  ['a schema as a text of 4 MB', 'structured_outputs', () => `{"json":"${'['.repeat(TEXT)}"}`],
  [
    'a structural tag as a text of 4 MB',
    'structured_outputs',
    () => `{"structural_tag":"${'{\\"a\\":'.repeat(580_000)}"}`,
  ],
  ['a model name of 4 MB', 'model', () => `"${'a'.repeat(TEXT)}"`],
  ['a user of 4 MB', 'user', () => `"${'a'.repeat(TEXT)}"`],
  ['a number of 4 MB as a temperature', 'temperature', () => '1'.repeat(TEXT)],
  ['30,000 includes', 'include', () => list(30_000, '"a"')],
  ['4 MB of instructions', 'instructions', () => `"${'<|user|>'.repeat(500_000)}"`],
  ['a template of 4 MB', 'chat_template', () => `"${'{{'.repeat(TEXT / 2)}"`],
];

const json = (route: Attacked): string => inText(route, 'hi');
const packed = (coding: string, bytes: Buffer): Sent => ({ bytes, headers: [`content-encoding: ${coding}`] });
const bomb = (raw: string): Buffer => Buffer.from(raw);
const LONG_HEADERS =
  'x-request-id idempotency-key extra-parameters azureml-model-deployment x-ms-model-mesh-model-name api-key content-encoding expect origin cookie user-agent accept x-forwarded-for'.split(
    ' ',
  );

/** Everything else. */
const OTHERS: readonly Hostile[] = [
  { name: 'a gzip bomb of lists', body: () => packed('gzip', gzipSync(bomb('['.repeat(BODY)))) },
  { name: 'a gzip bomb of 200 MB', body: () => packed('gzip', gzipSync(Buffer.alloc(200_000_000, ' '), { level: 1 })) },
  { name: 'a deflate bomb', body: () => packed('deflate', deflateRawSync(bomb(','.repeat(BODY)))) },
  { name: 'a br bomb of 200 MB', body: () => packed('br', br(Buffer.alloc(200_000_000, ' '))) },
  {
    name: 'a million members of gzip',
    body: () => packed('gzip', Buffer.concat(Array<Buffer>(900_000).fill(gzipSync('')))),
  },
  { name: 'invalid gzip', body: () => packed('gzip', Buffer.alloc(4_000_000, 'gzip')) },
  { name: 'bytes that are no UTF-8', body: () => ({ bytes: Buffer.alloc(TEXT, 0xff) }) },
  {
    name: 'UTF-8 that breaks at its end',
    body: (route) => ({
      bytes: Buffer.concat([Buffer.from(inText(route, 'é'.repeat(2_000_000)).slice(0, -8)), Buffer.from([0xc3])]),
    }),
  },
  { name: 'a text that never ends', body: (route) => ({ bytes: inText(route, 'a'.repeat(BODY)).slice(0, -10) }) },
  {
    name: 'fields beside each other by the thousand',
    body: (route) => ({
      bytes: JSON.stringify(
        route.withParameters(Object.fromEntries(Array.from({ length: 16_000 }, (_, n) => [`f${n}`, 1]))),
      ),
    }),
  },
  {
    name: '45,000 chunks of a byte',
    body: (route) => ({
      bytes: `${'1\r\n \r\n'.repeat(45_000)}${json(route).length.toString(16)}\r\n${json(route)}\r\n0\r\n\r\n`,
      headers: ['transfer-encoding: chunked'],
    }),
  },
  {
    name: 'chunks of a byte without end',
    body: () => ({ bytes: '1\r\n \r\n'.repeat(1_000_000), headers: ['transfer-encoding: chunked'] }),
  },
  {
    name: 'chunks of a byte into a decoder',
    body: () => ({
      bytes: `1\r\n\x1f\r\n1\r\n\x8b\r\n${'1\r\na\r\n'.repeat(300_000)}`,
      headers: ['transfer-encoding: chunked', 'content-encoding: gzip'],
    }),
  },
  {
    name: '1,900 headers',
    body: (route) => ({ bytes: json(route), headers: Array.from({ length: 1_900 }, (_, n) => `a${n}:`) }),
  },
  ...LONG_HEADERS.map((name): Hostile => ({
    name: `15 kB of ${name}`,
    body: (route) => ({ bytes: json(route), headers: [`${name}: ${'a,'.repeat(7_500)}`] }),
  })),
  {
    name: 'a type of 15 kB',
    body: (route) => ({ bytes: json(route), headers: [`content-type: application/json;${' '.repeat(15_000)}`] }),
  },
  { name: 'a path of 15 kB', body: (route) => ({ bytes: json(route), path: route.path + '/a'.repeat(7_500) }) },
  { name: 'a path of slashes', body: (route) => ({ bytes: json(route), path: `${'/'.repeat(15_000)}${route.path}` }) },
  {
    name: 'a path of %2F',
    body: (route) => ({ bytes: json(route), path: `/openai/deployments/${'%2F'.repeat(5_000)}/chat/completions` }),
  },
  {
    name: 'a query of 15 kB',
    body: (route) => ({ bytes: json(route), path: `${route.path}?${'a[]=b&'.repeat(2_500)}` }),
  },
];

export const HOSTILE: readonly Hostile[] = [
  ...INPUTS.map(([name, raw]): Hostile => ({ name, body: (route) => ({ bytes: inInput(route, raw()) }) })),
  ...TEXTS_OF.map(([name, raw]): Hostile => ({ name, body: (route) => ({ bytes: inText(route, raw()) }) })),
  ...FIELDS.map(([name, field, raw]): Hostile => ({
    name,
    body: (route) => ({ bytes: inField(route, field, raw()) }),
  })),
  ...HOSTILE_PICTURES,
  ...OTHERS,
];
