import { expect, test } from '@jest/globals';
import { Failure } from '../../../../gateway/failure.ts';
import type { FailureCode } from '../../../../gateway/failure.ts';
import { azureOpenai, azureOpenaiCompletions } from '../../../../gateway/dialects/azure/openai.ts';

test('requests are those of OpenAI’s API', () => {
  const messages = [{ role: 'user', content: 'hi' }];
  expect(azureOpenai.parse({ messages, temperature: 2, max_completion_tokens: 4, user: 'u', n: 1 })).toMatchObject({
    maxTokens: 4,
    sampling: { temperature: 2 },
    ignored: ['user'],
  });
  expect(azureOpenaiCompletions.parse({ prompt: 'hi' })).toMatchObject({ prompts: ['hi'], maxTokens: 16 });
});

test.each<readonly [FailureCode, number, string]>([
  ['unauthorized', 401, '401'],
  ['queue_full', 429, '429'],
  ['deployment_not_found', 404, 'DeploymentNotFound'],
  ['model_not_found', 404, 'DeploymentNotFound'],
  ['too_many_images', 400, 'too_many_images'],
  ['invalid_request', 400, 'invalid_request'],
  ['worker_lost', 502, 'worker_lost'],
])('%s is %i with the code %s', (code, status, told) => {
  const { status: seen, body } = azureOpenai.renderFailure(new Failure(code, 'why'));
  expect(seen).toBe(status);
  expect(JSON.parse(String(body))).toMatchObject({
    error: { code: told, message: expect.stringContaining('why'), param: null, type: expect.any(String) },
  });
});

test('a queue limit says when to retry, in its sentence and in both headers', () => {
  const { headers, body } = azureOpenai.renderFailure(new Failure('queue_full', 'too much', { retryAfterMs: 2_000 }));
  expect(headers).toMatchObject({ 'retry-after': '2', 'retry-after-ms': '2000' });
  expect(JSON.parse(String(body))).toMatchObject({ error: { message: 'too much; please retry after 2 seconds' } });
});

test('a broken stream ends with an error event', () => {
  const event = azureOpenai.renderStreamFailure(new Failure('engine_silent', 'why'));
  expect(JSON.parse(event.slice('data: '.length))).toMatchObject({ error: { code: 'engine_silent', message: 'why' } });
});
