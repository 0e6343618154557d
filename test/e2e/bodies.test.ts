import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { ALL, CHATS, LENIENT, OPENAI, WITH_MESSAGES, completions, refusedOn, score } from '../bad-requests/route.ts';
import { postJson } from '../support/post.ts';
import { startStack, type Stack } from '../support/stack.ts';

const MODEL = 'Phi-3-vision-128k-instruct';
const Counted = z.object({ usage: z.object({ prompt_tokens: z.number() }) });
const TOOL = { type: 'function', function: { name: 'paint', parameters: { type: 'object' } } };

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 60_000);
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

/** Posts a body; also returns the number of new jobs. */
async function post(path: string, body: unknown) {
  const before = await stack.metric('penstock_jobs_added_total');
  const answered = await postJson(stack.url + path, body);
  return { ...answered, jobs: (await stack.metric('penstock_jobs_added_total')) - before };
}

test.each(ALL)(
  'a client that always sends empty tool fields is served: $path',
  async ({ path, withParameters, fields: known }) => {
    const plain = { max_tokens: 4, temperature: 0 };
    const expected = await post(path, withParameters(plain));
    for (const fields of [
      { tools: [], tool_choice: 'auto' },
      { tools: null, tool_choice: 'auto' },
      { tools: [], tool_choice: 'none', functions: [], function_call: null, parallel_tool_calls: known ? null : true },
    ]) {
      // If tool_choice itself is an extra parameter, it stays one whatever the number of tools.
      if (known?.includes('tool_choice') === false) Reflect.deleteProperty(fields, 'tool_choice');
      const { status, text, jobs } = await post(path, withParameters({ ...plain, ...fields }));
      expect([status, jobs]).toEqual([200, 1]);
      expect(textOf(text)).toBe(textOf(expected.text));
    }
  },
);

test.each(CHATS)('a required call without any tool is refused by name: $path', async (route) => {
  const { status, text, jobs } = await post(route.path, route.withParameters({ tools: [], tool_choice: 'required' }));
  expect([status, jobs]).toEqual([400, 0]);
  expect(JSON.parse(text)).toMatchObject({ error: { code: 'invalid_request', param: 'tool_choice' } });
});

test.each(OPENAI)('the refusal of a tool is about the model, not about engine flags: $path', async (route) => {
  const { status, text, jobs } = await post(route.path, route.withParameters({ tools: [TOOL], tool_choice: 'auto' }));
  expect([status, jobs]).toEqual([400, 0]);
  expect(JSON.parse(text)).toMatchObject({ error: { code: 'unsupported_parameter', param: 'tools' } });
  expect(text).not.toMatch(/--|parser/);
});

test('a tool on /score is dropped, as in Azure’s container, and listed in a header', async () => {
  const { status, headers } = await post(score.path, score.withParameters({ tools: [TOOL], max_new_tokens: 2 }));
  expect(status).toBe(200);
  expect(headers.get('x-penstock-ignored')).toBe('parameters.tools');
});

const HI = [{ role: 'user', content: 'hi' }];
test.each([
  ['of the older servers', { inputs: { input_string: HI }, parameters: { max_new_tokens: 8 } }],
  ['of OpenAI', { messages: HI }],
  ['packed into a text', { input_data: JSON.stringify({ input_string: HI }) }],
])('/score with a body %s: the refusal has the expected shape', async (_what, body) => {
  const { status, headers, text, jobs } = await post('/score', body);
  expect([status, headers.get('ms-azureml-model-error-statuscode'), jobs]).toEqual([424, '400', 0]);
  expect(JSON.parse(text)).toMatchObject({
    error: { param: 'input_data', message: expect.stringContaining('input_data.input_string') },
  });
});

test('/score with the parameters one level too high: served without them, and they are listed', async () => {
  const body = { input_data: { input_string: HI }, parameters: { max_new_tokens: 8 } };
  const { status, headers, text } = await post('/score', body);
  expect(status).toBe(200);
  expect(JSON.parse(text)).toEqual({ output: expect.any(String) });
  expect(headers.get('x-penstock-ignored')).toBe('parameters');
});

test.each(WITH_MESSAGES)('a developer message counts as a system message: $path', async (route) => {
  const withRole = (role: string, middle: boolean): unknown[] => {
    const instructions = { role, content: 'Be brief.' };
    return middle ? [...HI, instructions, { role: 'user', content: 'and now?' }] : [instructions, ...HI];
  };
  for (const middle of [false, true]) {
    const answers = [];
    for (const role of ['developer', 'system']) {
      const { status, text } = await post(route.path, route.withInput(withRole(role, middle)));
      expect(status).toBe(200);
      answers.push(route !== score ? Counted.parse(JSON.parse(text)).usage.prompt_tokens : text);
    }
    expect(answers[0]).toEqual(answers[1]);
  }
  const robot = await post(route.path, route.withInput(withRole('robot', false)));
  expect([robot.status, robot.jobs]).toEqual([refusedOn(route.shape, 'invalid_request').status, 0]);
  expect(JSON.parse(robot.text)).toMatchObject({ error: { param: `${route.input}[0].role` } });
});

test("the bodies of Azure's own samples for the OpenAI-style routes are accepted", async () => {
  for (const route of OPENAI) {
    const more = LENIENT.includes(route) ? { ignore_eos: true } : {};
    const body = route.withParameters({ model: 'azureai', stream: 'True', max_new_tokens: 3, ...more });
    const { status, headers, text } = await post(route.path, body);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/event-stream');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text).toContain(`"model":"${MODEL}"`);
    expect(text).toContain('"finish_reason":"length"');
  }
});

test('JSON with a byte order mark, as from Windows, is read', async () => {
  const { status } = await post(completions.path, `\uFEFF${JSON.stringify(completions.withParameters({}))}`);
  expect(status).toBe(200);
});

/** The answer's text in any of the three forms. */
function textOf(answer: string): string {
  const Forms = z.union([
    z.object({ output: z.string() }).transform(({ output }) => output),
    z.object({ choices: z.tuple([z.object({ text: z.string() })]) }).transform(({ choices: [{ text }] }) => text),
    z
      .object({ choices: z.tuple([z.object({ message: z.object({ content: z.string() }) })]) })
      .transform(({ choices: [{ message }] }) => message.content),
  ]);
  return Forms.parse(JSON.parse(answer));
}
