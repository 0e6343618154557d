import { expect, test } from '@jest/globals';
import { toFailure } from '../../../../gateway/failure.ts';
import type { Failure } from '../../../../gateway/failure.ts';
import { openaiCompletions } from '../../../../gateway/dialects/openai/completions.ts';

const parse = (fields: object) => openaiCompletions.parse({ prompt: 'def main', ...fields });
function refused(body: unknown): Failure {
  try {
    openaiCompletions.parse(body);
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('was accepted');
}

test('a plain request: one prompt, no messages, the API’s default length', () => {
  expect(parse({ model: 'azureai' })).toEqual({
    model: 'azureai',
    messages: [],
    prompts: ['def main'],
    stream: false,
    includeUsage: false,
    maxTokens: 16,
    maxTokensParam: 'max_tokens',
    messagesParam: 'prompt',
    choices: 1,
    sampling: {},
    ignored: [],
  });
});

test.each([
  ['a text', 'a', ['a']],
  ['one text in a list', ['a'], ['a']],
  ['token ids', [1, 0, 32_000], [[1, 0, 32_000]]],
  ['one list of token ids in a list', [[1, 2]], [[1, 2]]],
  ['several texts', ['a', 'b'], ['a', 'b']],
  ['texts and token ids', ['a', [1]], ['a', [1]]],
])('%s as prompt', (_what, prompt, prompts) => {
  expect(parse({ prompt })).toMatchObject({ prompts });
});

test('every optional field that is null, or empty where it must not be set, counts as absent', () => {
  const names = ['model', 'stream', 'n', 'max_tokens', 'logprobs', 'best_of', 'suffix', 'messages', 'cache_salt'];
  expect(parse(Object.fromEntries(names.map((name) => [name, null])))).toEqual(parse({}));
  expect(parse({ suffix: '', tools: [], messages: [] })).toEqual(parse({}));
  expect(parse({ best_of: 1 })).toEqual(parse({}));
});

test('fields of this route reach the engine in its form; those of the chat route are listed as without effect', () => {
  const own = { logprobs: 5, echo: true, add_special_tokens: false, min_p: 0.1, ignore_eos: true };
  expect(parse(own)).toMatchObject({ sampling: own, ignored: [] });
  expect(parse({ top_logprobs: 5, user: 'me' })).toMatchObject({ sampling: {}, ignored: ['top_logprobs', 'user'] });
});

test('a prompt is never quoted', () => {
  const failure = refused({ prompt: { secret: 'river' } });
  expect(failure).toMatchObject({ code: 'invalid_request', options: { param: 'prompt' } });
  expect(failure.message).not.toContain('river');
  expect(refused({ prompt: ['river', { a: 1 }] }).message).not.toContain('river');
});
