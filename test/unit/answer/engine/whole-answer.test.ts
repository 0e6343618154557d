import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import type { EnginePath } from '#contract/job';
import { engineAnswer } from '../../../../gateway/answer/engine/answer.ts';

const PATHS = ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/tokenize'] as const;
const chat = (...choices: object[]): object => ({
  choices: choices.map((choice, index) => ({
    index,
    message: { role: 'assistant', content: 'a' },
    finish_reason: 'stop',
    ...choice,
  })),
});
const text = (...choices: object[]): object => ({
  choices: choices.map((choice, index) => ({ index, text: 'a', finish_reason: 'length', ...choice })),
});
const response = (members: object): object => ({
  status: 'completed',
  output: [],
  incomplete_details: null,
  ...members,
});
const CALL = { message: { role: 'assistant', content: null, tool_calls: [{}] }, finish_reason: 'tool_calls' };

test.each<[path: EnginePath, asked: number, body: unknown]>([
  ['/v1/chat/completions', 1, chat({})],
  ['/v1/chat/completions', 1, chat(CALL)],
  ['/v1/chat/completions', 2, chat({}, { finish_reason: 'length' })],
  ['/v1/completions', 1, text({})],
  ['/v1/completions', 3, text({}, {}, {})],
  ['/v1/responses', 1, response({})],
  ['/v1/responses', 1, response({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })],
  ['/tokenize', 1, { count: 0 }],
])('A2: complete on %s, %i choices: %j', (path, asked, body) => {
  expect(engineAnswer(path, asked).judge(Buffer.from(JSON.stringify(body)), 'messages')).toBeUndefined();
});

test.each<[path: EnginePath, asked: number, body: unknown]>([
  ['/v1/chat/completions', 1, chat()],
  ['/v1/chat/completions', 1, {}],
  ['/v1/chat/completions', 1, null],
  ['/v1/chat/completions', 1, chat({ finish_reason: null })],
  ['/v1/chat/completions', 1, chat({ finish_reason: undefined })],
  ['/v1/chat/completions', 1, chat({ finish_reason: 'abort' })],
  ['/v1/chat/completions', 1, chat({ finish_reason: 'error' })],
  ['/v1/chat/completions', 1, chat({ finish_reason: 'gave_up' })],
  ['/v1/chat/completions', 1, chat({ message: undefined })],
  ['/v1/chat/completions', 1, text({})],
  ['/v1/chat/completions', 2, chat({})],
  ['/v1/chat/completions', 2, chat({}, { index: 0 })],
  ['/v1/chat/completions', 2, chat({}, { finish_reason: null })],
  ['/v1/chat/completions', 2, chat({}, { finish_reason: 'abort' })],
  ['/v1/completions', 1, text({ finish_reason: null })],
  ['/v1/completions', 1, text({ text: null })],
  ['/v1/completions', 1, chat({})],
  ['/v1/completions', 3, text({}, {})],
  ['/v1/responses', 1, response({ status: 'in_progress' })],
  ['/v1/responses', 1, response({ status: 'failed' })],
  ['/v1/responses', 1, response({ status: 'cancelled' })],
  ['/v1/responses', 1, response({ status: 'incomplete' })],
  ['/v1/responses', 1, response({ output: undefined })],
  ['/v1/responses', 1, chat({})],
  ['/tokenize', 1, {}],
  ['/tokenize', 1, { count: null }],
  ['/tokenize', 1, { count: -1 }],
])('A2: lost on %s, %i choices: %j', (path, asked, body) => {
  expect(engineAnswer(path, asked).judge(Buffer.from(JSON.stringify(body)), 'messages')).toMatchObject({
    code: 'worker_lost',
  });
});

test.each<[how: string, error: unknown, code: string]>([
  ['a fault', { message: 'it broke', code: 500 }, 'engine_failed'],
  ['a text', 'it broke', 'engine_failed'],
  ['of no known form', 7, 'engine_failed'],
  ['of an engine that ends', { message: 'EngineCore encountered an issue.' }, 'worker_lost'],
  ['a refusal', { message: 'it broke', code: 400 }, 'engine_refused'],
])('A2: an error that the engine reports in a 200 has the code of an error status: %s', (_how, error, code) => {
  for (const path of PATHS)
    for (const body of [{ error }, { ...chat({}), error }, { ...response({ status: 'failed' }), error }])
      expect(engineAnswer(path, 1).judge(Buffer.from(JSON.stringify(body)), 'messages')).toMatchObject({ code });
});

const WHOLE = JSON.stringify(chat({}));
test.each<[how: string, body: Buffer]>([
  ['empty', Buffer.alloc(0)],
  ['cut', Buffer.from(WHOLE.slice(0, -2))],
  ['events', Buffer.from('data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')],
  ['NaN', Buffer.from(WHOLE.replace('"stop"', '"stop","logprobs":NaN'))],
  ['no UTF-8', Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xc3, 0x28]), Buffer.from(`",${WHOLE.slice(1)}`)])],
  ['a page', Buffer.from('<html></html>')],
])('A2: a 200 that no client can read is lost: %s', (_how, body) => {
  for (const path of PATHS)
    expect(engineAnswer(path, 1).judge(body, 'messages')).toMatchObject({ code: 'worker_lost' });
});

interface Recorded {
  readonly path: EnginePath;
  readonly choices: number;
  readonly body: string;
}
const FOLDERS = ['test/fixtures/vllm', 'test/fixtures/vllm/v0.33'] as const;
/** Timelines, files with several answers, and a refusal in the form of a broken stream. */
const OTHERS = /^(fail-|auth-|disconnect|stream-keep-alive|uuid-collision|responses-badschema-stream)/;
/** Complete answers of a real vLLM, by file name. */
function recorded(isStream: boolean): [name: string, answer: Recorded][] {
  const files = FOLDERS.flatMap((folder) => readdirSync(folder).map((name) => ({ name, file: `${folder}/${name}` })));
  const answers = files.filter(({ name }) => name.endsWith('.http') && !OTHERS.test(name));
  return answers.flatMap(({ file }): [string, Recorded][] => {
    const [head = '', ...rest] = readFileSync(file, 'utf8').replaceAll('\r\n', '\n').split('\n\n');
    const path = PATHS.find((one) => head.startsWith(`# POST ${one} `));
    const isEvents = head.includes('\ncontent-type: text/event-stream');
    if (path === undefined || !head.includes('HTTP/1.1 200') || isEvents !== isStream) return [];
    const choices = Number(/"n": ?(\d+)/.exec(head)?.[1] ?? 1);
    return [[file, { path, choices, body: rest.join('\n\n') }]];
  });
}

test.each(recorded(false))('A2: a recorded answer of vLLM is complete: %s', (_name, { path, choices, body }) => {
  expect(engineAnswer(path, choices).judge(Buffer.from(body), 'messages')).toBeUndefined();
});

test.each(recorded(true))('A1: a recorded stream of vLLM is complete, and passes unchanged: %s', (_name, answer) => {
  const { path, choices, body } = answer;
  for (const size of [1, 250, body.length]) {
    const events = engineAnswer(path, choices).events(true);
    let passed = '';
    for (let at = 0; at < body.length; at += size)
      passed += events.take(Buffer.from(body.slice(at, at + size))).toString();
    if (events.refusal !== undefined) return;
    expect(events).toMatchObject({ done: true, failure: undefined });
    expect(passed).toBe(body);
  }
});
