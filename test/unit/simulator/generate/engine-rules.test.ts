import { expect, test } from '@jest/globals';
import { ChatBody } from '../../../../worker-launcher/simulator/chat/schema.ts';
import { engineRefusal } from '../../../../worker-launcher/simulator/generate/engine-rules.ts';
import { parseBody } from '../../../../worker-launcher/simulator/http/pydantic.ts';
import { readStructuredOutputs } from '../../../../worker-launcher/simulator/text/structured.ts';

function refusal(fields: object, alternatives?: number): string | undefined {
  const body = parseBody(ChatBody, { messages: [], ...fields });
  const structure = readStructuredOutputs(body.structured_outputs);
  return engineRefusal({ body, alternatives, maxLogprobs: 20, structure })?.message;
}

// Sentences of a real vLLM 0.32.
test.each([
  [{ stop_token_ids: [99_999] }, /^token_id\(s\) \[99999\] in stop_token_ids contain out-of-vocab token ids\./],
  [{ logprob_token_ids: [-1] }, /^token_id\(s\) \[-1\] in logprob_token_ids contain/],
  [{ logit_bias: { 99999: 5 } }, /Vocabulary size: 32064 \(parameter=logit_bias, value=\[99999\]\)$/],
  [{ allowed_token_ids: [] }, /^allowed_token_ids is not None and empty! \(parameter=allowed_token_ids, value=\[\]\)$/],
  [{ allowed_token_ids: [99_999] }, /^allowed_token_ids contains out-of-vocab token id!/],
  [{ bad_words: ['  '] }, /at least one token\. \(parameter=bad_words, value=\['  '\]\)$/],
  [{ thinking_token_budget: 5 }, /^thinking_token_budget is set but reasoning_config is not configured\./],
  [{ structured_outputs: { choice: [] } }, /^Choice '\[\]' cannot be an empty list$/],
  [{ structured_outputs: { json: { type: 'nonsense' } } }, /^Grammar error: Invalid type: nonsense$/],
  [{ structured_outputs: { json: '{"type": "nonsense"}' } }, /^Grammar error: Invalid type: nonsense$/],
])('%j: the engine refuses', (fields, sentence) => {
  expect(refusal(fields)).toMatch(sentence);
});

test('token ids of the vocabulary and valid choices pass', () => {
  expect(refusal({ stop_token_ids: [0, 32_063], bad_words: ['bad'], allowed_token_ids: [5] }, 20)).toBeUndefined();
  expect(refusal({ structured_outputs: { choice: ['a'] } })).toBeUndefined();
});

test('more alternatives than the server’s limit are refused', () => {
  expect(refusal({}, 21)).toMatch(/^Requested sample logprobs of 21, which is greater than max allowed: 20/);
});

test('a seed is an integer of 64 bits, exact if it is a string', () => {
  const seed = (value: unknown) => () => parseBody(ChatBody, { messages: [], seed: value });
  for (const value of [0, -5, '7', '9223372036854775807', '-9223372036854775808']) expect(seed(value)).not.toThrow();
  for (const value of [2 ** 63, '9223372036854775808', '-9223372036854775809', 'x', 1.5]) expect(seed(value)).toThrow();
});
