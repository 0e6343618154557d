import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { chatBody, type ChatBody } from '../../../gateway/console/playground/conversation.ts';
import { NOTHING_TYPED } from '../../../gateway/console/playground/parameters.ts';
import { snippetsOf } from '../../../gateway/console/playground/snippets.ts';
import { MODEL } from './model.ts';

/** What a shell, a template or a heredoc could take for its own. */
const NASTY = 'It\'s "$HOME" `id` \\n ${x} $(id)\nJSON\nEOF é 🐈 @@';
const BYTES = Buffer.from('not really a picture');
const PICTURE = { name: 'cat.png', bytes: 20, dataUri: `data:image/png;base64,${BYTES.toString('base64')}` };
const PLACE = { origin: 'http://127.0.0.1:8080', keys: true, task: 'chat-completion' };
const TYPED = { ...NOTHING_TYPED, max_tokens: '64', top_k: '5', temperature: '0.2' };

const bodyWith = (pictures: (typeof PICTURE)[]): ChatBody =>
  chatBody(MODEL, NASTY, [], { text: NASTY, pictures }, TYPED);
const codeOf = (body: ChatBody, id: string, place = PLACE): string =>
  snippetsOf(body, place).find((one) => one.id === id)?.code ?? '';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-code-'));
  await writeFile(join(folder, 'picture.png'), BYTES);
  // Prints its arguments and what it would send.
  await writeFile(join(folder, 'curl'), '#!/bin/sh\nprintf "%s\\n" "$@"\necho --\ncat\n', { mode: 0o755 });
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the code with a `curl` that sends nothing. */
async function sentBy(code: string): Promise<{ args: string[]; body: unknown }> {
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}`, PENSTOCK_KEY: 'penstock_secret', HOME: '/root' };
  const output = await new Promise<string>((resolve, reject) => {
    execFile('sh', ['-c', code], { cwd: folder, env }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
  const [args = '', body = ''] = output.split('\n--\n');
  return { args: args.split('\n'), body: JSON.parse(body) };
}

test.each([
  ['without a picture', []],
  ['with a picture', [PICTURE]],
])('curl %s sends exactly the request of the page, whatever signs the text has', async (_what, pictures) => {
  const body = bodyWith(pictures);
  const { args, body: sent } = await sentBy(codeOf(body, 'curl'));
  expect(sent).toEqual(body);
  expect(args).toContain('http://127.0.0.1:8080/v1/chat/completions');
  expect(args).toContain('authorization: Bearer penstock_secret');
});

test('curl for /score has Azure’s form, and the deployment in its header', async () => {
  const body = bodyWith([PICTURE]);
  const { args, body: sent } = await sentBy(codeOf(body, 'score'));
  expect(sent).toEqual({
    input_data: {
      input_string: body.messages,
      parameters: { max_new_tokens: 64, temperature: 0.2, top_k: 5 },
    },
  });
  expect(args).toContain(`azureml-model-deployment: ${MODEL.name}`);
});

test('/score of a model for text takes the question as a prompt', async () => {
  const code = codeOf(bodyWith([]), 'score', { ...PLACE, task: 'text-generation' });
  const Sent = z.object({ input_data: z.object({ input_string: z.array(z.string()) }) });
  expect(Sent.parse((await sentBy(code)).body).input_data.input_string).toEqual([NASTY]);
});

test('JavaScript: the literal is the request, and the picture is read from a file', () => {
  const code = codeOf(bodyWith([PICTURE]), 'node');
  expect(code).toContain("const picture = readFileSync('picture.png', 'base64');");
  expect(code).toContain('apiKey: process.env.PENSTOCK_KEY');
  const [, literal = ''] = /completions\.create\(([^]*)\);\nfor await/.exec(code) ?? [];
  // oxlint-disable-next-line typescript/no-implied-eval -- the code that the page shows
  const evaluate = new Function('picture', `return ${literal}`) as (picture: string) => unknown;
  const { stream_options: _left, ...rest } = bodyWith([PICTURE]);
  expect(evaluate(BYTES.toString('base64'))).toEqual(rest);
});

test('Python: fields that OpenAI’s API lacks are extra, and words have Python’s spelling', () => {
  const code = codeOf(bodyWith([PICTURE]), 'python');
  expect(code).toContain('"url": f"data:image/png;base64,{picture}"');
  expect(code).toContain('    stream=True,\n');
  expect(code).toMatch(/extra_body=\{\s+"top_k": 5\s+\},/);
  expect(code).toContain('api_key=os.environ["PENSTOCK_KEY"]');
  expect(code).not.toMatch(/\btrue\b/);
});

test('a gateway without keys needs none in the code', () => {
  const codes = snippetsOf(bodyWith([]), { ...PLACE, keys: false });
  expect(codes.map(({ id }) => id)).toEqual(['curl', 'node', 'python', 'score']);
  expect(codes.filter(({ code }) => code.includes('PENSTOCK_KEY'))).toEqual([]);
});
