import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { engineFailure, reportedFault } from '../../../../gateway/answer/engine/failure.ts';

const FOLDER = 'test/fixtures/vllm';
const Answer = z.object({ error: z.object({ message: z.string(), code: z.number() }) });
const CANARY = 'zanzibarcanary';

/** Every recorded error of a real vLLM. */
const RECORDED = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.http'))
  .flatMap((name) =>
    readFileSync(`${FOLDER}/${name}`, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{"error":{'))
      .map((line) => ({ name, error: Answer.safeParse(parse(line)).data?.error })),
  )
  .flatMap(({ name, error }) => (error === undefined ? [] : [{ name, ...error }]));

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
const failureOf = (status: number, message: string, param: string | null = null) =>
  engineFailure(status, Buffer.from(JSON.stringify({ error: { message, param } })), 'messages');

test('N15: a refusal that a client can act on keeps the engine’s sentence', () => {
  const passed = RECORDED.filter(({ code, message }) => failureOf(code, message).message === message).map(
    ({ message }) => message,
  );
  for (const part of [
    'cannot be greater than max_model_len',
    'contain out-of-vocab token ids',
    'Grammar error: Invalid type: nonsense',
    'cannot identify image file',
    'image file is truncated',
    'This model’s maximum context length'.replace('’', "'"),
    'n must be 1 when using greedy sampling',
    'stop cannot contain an empty string',
    'presence_penalty must be in [-2, 2]',
    'min_tokens must be less than or equal to max_tokens',
    'top_p must be in (0, 1]',
    'Requested sample logprobs',
    'At most 1 image(s)',
  ])
    expect([part, passed.some((message) => message.includes(part))]).toEqual([part, true]);
});

test('N15: an engine’s sentence that contains a word of the request reaches neither client nor log', () => {
  expect(RECORDED.length).toBeGreaterThan(50);
  for (const { code, message } of RECORDED) {
    if (message.startsWith('Grammar error')) continue;
    for (const quoting of [`${message} ${CANARY}`, `${CANARY}: ${message}`, message.replace(/\w{4,}$/, CANARY)]) {
      if (!quoting.includes(CANARY)) continue;
      const failure = failureOf(code, quoting, CANARY.repeat(9));
      expect(JSON.stringify([failure.message, failure.cause, failure.options])).not.toContain(CANARY);
      const broken = reportedFault(quoting);
      expect(JSON.stringify([broken.message, broken.cause, broken.options])).not.toContain(CANARY);
    }
  }
});

test.each([
  'Grammar error: Invalid type: nonsense',
  `Failed to transform json schema into a grammar: ${CANARY}`,
  `Invalid grammar specification.`,
  `The provided JSON schema contains features not supported by xgrammar. ${CANARY}`,
  `Error parsing regex ${CANARY}(: unclosed group`,
  `Failed to convert the grammar from Lark to EBNF: ${CANARY}`,
  `[12:00:01] /project/cpp/grammar_parser.cc:88: EBNF lexer error at line 1, column 4: ${CANARY}`,
])('N17: a grammar that the engine cannot build is the caller’s fault, whatever the status: %s', (message) => {
  for (const failure of [failureOf(400, message), failureOf(500, message), reportedFault(message)]) {
    expect([failure.code, failure.status]).toEqual(['engine_refused', 400]);
    expect(failure.message).not.toContain(CANARY);
    expect(failure.message).toMatch(/grammar/i);
    expect(failure.cause).toBeUndefined();
  }
});

test('N15: the log has the kind of the fault, but not the engine’s words', () => {
  const failure = failureOf(500, `list index out of range: ${CANARY}`);
  expect([failure.code, failure.cause]).toEqual(['engine_failed', 'engine answered 500, in 39 characters']);
});

test('N15: patterns of sentences are matched in one pass, however long a sentence is', () => {
  const startedAt = performance.now();
  for (const long of [
    'token_id(s) [' + '1, '.repeat(300_000),
    'n must be at least ' + '1'.repeat(900_000),
    ' '.repeat(1e6),
  ])
    failureOf(400, long);
  for (const long of [
    'token_id(s) [' + '1, '.repeat(160),
    `This model's maximum context length is 1 tokens. However, you requested ${'a '.repeat(200)}`,
  ])
    for (let i = 0; i < 1_000; i += 1) failureOf(400, long);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

test.each([302, 401, 403, 404, 405, 407, 408, 409, 413, 425, 429])(
  'H4: if an engine refuses with %d, the fault is ours, and another engine is tried',
  (status) => {
    const failure = engineFailure(status, Buffer.from('{"error":{"message":"no"}}'), 'messages');
    expect([failure.code, failure.status, failure.options.elsewhere]).toEqual(['engine_failed', 502, true]);
  },
);

test.each([
  ['in its own words', 'no', true],
  ['as vLLM does', 'stop cannot contain an empty string.', false],
  ['because of a grammar', `Error parsing regex ${CANARY}(: unclosed group`, false],
])('H4: an engine that refuses %s may be unhealthy: another one is tried: %s %s', (_how, message, elsewhere) => {
  const failure = failureOf(400, message);
  expect([failure.code, failure.status, failure.options.elsewhere]).toEqual(['engine_refused', 400, elsewhere]);
});
