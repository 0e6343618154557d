import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { Failure, toFailure } from '../../../gateway/failure.ts';
import { createAzureInference } from '../../../gateway/dialects/azure/inference.ts';
import { azureOpenai } from '../../../gateway/dialects/azure/openai.ts';
import { createAzureScore } from '../../../gateway/dialects/score/score.ts';
import { openaiCompletions } from '../../../gateway/dialects/openai/completions.ts';
import { openaiResponses } from '../../../gateway/dialects/openai/responses.ts';
import { openaiTokenize } from '../../../gateway/dialects/openai/tokenize.ts';
import { openai } from '../../../gateway/dialects/openai/chat.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const score = createAzureScore({ deploymentName: 'penstock' });
const card = { ...phi3Card(), task: 'text-generation' as const };
const HALF = 'a\ud800';
const call = (argument: unknown) => ({ id: 'c', type: 'function', function: { name: 'f', arguments: argument } });
const message = (fields: object) => ({ messages: [{ role: 'assistant', content: 'hi', ...fields }] });
const chat = (fields: object) => ({ ...message({}), ...fields });

const sentence = (run: () => unknown): string => refusal(run).message;
function refusal(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}

test.each([
  ['messages[0].name', () => openai.parse(message({ name: HALF }))],
  ['messages[0].tool_call_id', () => openai.parse(message({ tool_call_id: HALF }))],
  ['messages[0].tool_calls', () => openai.parse(message({ tool_calls: [call(HALF)] }))],
  ['stop', () => openai.parse(chat({ stop: HALF }))],
  ['stop[0]', () => openai.parse(chat({ stop: [HALF] }))],
  ['bad_words[1]', () => openai.parse(chat({ bad_words: ['a', HALF] }))],
  ['tools', () => openai.parse(chat({ tools: [{ type: 'function', function: { name: 'f', x: HALF } }] }))],
  ['response_format', () => openai.parse(chat({ response_format: schema({ title: HALF }) }))],
  ['user', () => openaiResponses.parse({ input: 'hi', user: HALF })],
  ['instructions', () => openaiResponses.parse({ input: 'hi', instructions: HALF })],
  ['metadata.a', () => openaiResponses.parse({ input: 'hi', metadata: { a: HALF } })],
  ['prompt', () => openaiCompletions.parse({ prompt: HALF })],
  ['prompt[1]', () => openaiCompletions.parse({ prompt: ['a', HALF] })],
  ['prompt', () => openaiTokenize.parse({ prompt: HALF })],
  ['input_data.input_string[0]', () => score.parse({ input_data: { input_string: [HALF] } }, { headers: {}, card })],
])('G: half of a character in %s is reported as such', (param, run) => {
  const told = sentence(run);
  expect(told).toContain('has half of a character');
  expect(told.startsWith(param)).toBe(true);
  expect(told).not.toMatch(/must be a text|must be a list|not empty/);
});

const schema = (inside: object) => ({ type: 'json_schema', json_schema: { name: 'a', schema: inside } });
const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);

test('G: too deep nesting, or a number outside JSON, is reported as such', () => {
  const tools = (x: unknown) => () => openai.parse(chat({ tools: [{ type: 'function', function: { name: 'f', x } }] }));
  expect(sentence(tools(deep(80)))).toMatch(/^tools is nested deeper than 64 levels$/);
  expect(sentence(tools(JSON.parse('1e999')))).toMatch(/^tools has a number that is too large$/);
  const calls = () => openai.parse(message({ tool_calls: [{ ...call('{}'), x: deep(80) }] }));
  expect(sentence(calls)).toMatch(/^messages\[0\]\.tool_calls is nested deeper than 64 levels$/);
});

test.each([
  ['logit_bias.""', () => openai.parse(chat({ logit_bias: { '': 1 } }))],
  ['""', () => openaiResponses.parse({ input: 'hi', '': 1 })],
  ['""', () => createAzureInference('penstock').chat.parse(chat({ '': 1 }))],
  ['input[0].""', () => openaiResponses.parse({ input: [{ role: 'user', content: 'hi', '': 1 }] })],
  ['response_format.""', () => openai.parse(chat({ response_format: { type: 'text', '': 1 } }))],
  ['got ""', () => openaiCompletions.parse({ prompt: '' })],
  ['got ""', () => openai.parse(chat({ n: '' }))],
  ['got ""', () => openai.parse({ messages: [{ role: '', content: 'hi' }] })],
])('G: an empty name or value is shown as %s', (shown, run) => {
  const told = sentence(run);
  expect(told).toContain(shown);
  expect(told).not.toMatch(/[.:,] ?$| {2}/);
});

test.each(['ünï', '日本', 'é😀', 'a b', "it's", 'a\nb', '100%', 'a?b'])(
  'G: a field named %j is reported by its own name',
  (name) => {
    const { ignored } = openai.parse(chat({ [name]: 1 }));
    expect(ignored.map(decodeURIComponent)).toEqual([name]);
    const told = sentence(() => createAzureInference('penstock').chat.parse(chat({ [name]: 1 })));
    expect(decodeURIComponent(/\['(.*?)'\]/.exec(told)?.[1] ?? '')).toBe(name);
  },
);

test('G: a refusal quotes a name’s letters unchanged; half of a character does no harm', () => {
  const azure = (name: string) => sentence(() => createAzureInference('penstock').chat.parse(chat({ [name]: 1 })));
  expect(azure('ünï')).toContain("Extra parameters ['ünï']");
  expect(azure('日本')).toContain("Extra parameters ['日本']");
  expect(azure(`${'a'.repeat(63)}😀`)).not.toMatch(/[\ud800-\udfff]/);
  expect(sentence(() => openaiResponses.parse({ input: 'hi', ünï: 1 }))).toMatch(/^ünï is not accepted/);
});

test.each([
  ['messages[0].content[0].image_url.url', { image_url: { url: '' } }],
  ['messages[0].content[0].image_url', { image_url: '' }],
])('G: an empty %s is reported as such', (param, fields) => {
  const run = () => openai.parse({ messages: [{ role: 'user', content: [{ type: 'image_url', ...fields }] }] });
  expect(sentence(run)).toMatch(/, got ""$/);
  expect(sentence(run).startsWith(param)).toBe(true);
});

test('G: a field with an empty name is listed if it has no effect', () => {
  expect(openai.parse(chat({ '': 1 })).ignored).toEqual(['""']);
});

const inference = createAzureInference('penstock').chat;
const DIALECTS = [openai, openaiResponses, azureOpenai, inference, score];
test.each(DIALECTS.map((dialect) => [dialect.name, dialect] as const))(
  'G: %s: an SDK does not retry an engine’s refusal after acceptance',
  (_name, dialect) => {
    for (const status of [400, 404, 408, 409, 422, 425, 429]) {
      const { headers } = dialect.renderFailure(new Failure('engine_refused', 'no', { status }));
      expect([status, headers['x-should-retry'], headers['retry-after']]).toEqual([status, 'false', undefined]);
    }
    const long = dialect.renderFailure(new Failure('context_length_exceeded', 'too long'));
    expect(long.headers['x-should-retry']).toBe('false');
  },
);

test('G: /score wraps an engine’s refusal, without the headers of its own queue', () => {
  for (const status of [401, 408, 429]) {
    const { status: own, headers, body } = score.renderFailure(new Failure('engine_refused', 'no', { status }));
    expect([own, headers['ms-azureml-model-error-statuscode']]).toEqual([424, String(status)]);
    expect(headers['ms-azureml-model-error-reason']).toBe('model_error');
    expect(String(body)).toContain('engine_refused');
  }
});

test.each(['9223372036854775807', '-9223372036854775808', '9007199254740993', '18446744073709551616', '1e999'])(
  'E5: a number that cannot be read exactly, %s, is not quoted as another one',
  (number) => {
    const body = (name: string) => z.looseObject({}).parse(JSON.parse(`{"${name}": ${number}}`));
    for (const dialect of DIALECTS.slice(0, 4)) {
      const input = dialect === openaiResponses ? { input: 'hi' } : message({});
      expect(sentence(() => dialect.parse({ ...input, ...body('seed') }))).toMatch(
        /^seed must be .*, got one that is too large to be exact$/,
      );
    }
    for (const name of ['max_tokens', 'top_p', 'temperature']) {
      const run = () => score.parse({ input_data: { input_string: message({}).messages, parameters: body(name) } });
      expect(sentence(run)).toMatch(/, got one that is too large to be exact$/);
    }
    const { body: told } = inference.renderFailure(refusal(() => inference.parse({ ...message({}), ...body('seed') })));
    expect(String(told)).not.toContain('"input"');
  },
);

test('E5: numbers that were read exactly are quoted as they were sent', () => {
  expect(sentence(() => openai.parse(chat({ seed: 1.5 })))).toMatch(/, got 1\.5$/);
  expect(sentence(() => openai.parse(chat({ top_p: 9007199254740991 })))).toMatch(/, got 9007199254740991$/);
  expect(openai.parse(chat({ seed: -9007199254740991 })).sampling).toEqual({ seed: -9007199254740991 });
});
