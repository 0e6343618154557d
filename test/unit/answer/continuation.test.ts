import { expect, test } from '@jest/globals';
import { specialTokenPattern } from '../../../gateway/contract/special-tokens.ts';
import { ByteBudget } from '../../../gateway/answer/byte-budget.ts';
import { Continuation, planContinuation } from '../../../gateway/answer/continuation.ts';
import { followOn } from '../../../gateway/answer/delivered.ts';
import type { EnginePath } from '../../../gateway/contract/job.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const special = specialTokenPattern(phi3Card().tokens.special.texts);
const user = { role: 'user', content: 'Hi' };
const plan = (text: string, begun?: string) =>
  planContinuation(
    Buffer.from(
      JSON.stringify({
        model: 'm',
        max_tokens: 100,
        messages: begun === undefined ? [user] : [user, { role: 'assistant', content: begun }],
        ...(begun === undefined ? {} : { continue_final_message: true }),
      }),
    ),
    { id: 'a', created: 1, text, events: 3, other: false },
    () => Promise.resolve(undefined),
    special,
  );

test('N6: an answer whose text spells a special token is not continued, because an engine would read it as the token', async () => {
  expect((await plan('An ordinary <b>text</b> | more')).kind).toBe('rest');
  for (const text of ['It ends with <|end|>', 'as <s> does', 'a picture <|image_1|> of'])
    expect(await plan(text)).toEqual({ kind: 'impossible', reason: 'control_tokens' });
});

test('N6: an answer is not continued if the caller began the token and the model ended it', async () => {
  expect((await plan('er| of it', 'x <|us')).kind).toBe('rest');
  expect(await plan('er|> of it', 'x <|us')).toEqual({ kind: 'impossible', reason: 'control_tokens' });
});

const piece = (delta: object, finish: string | null = null) => ({
  id: 'a',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const sentAs = (event: object): Buffer => Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
const text = (content: string): Buffer => sentAs(piece({ content }));
const REQUEST = Buffer.from(JSON.stringify({ model: 'm', messages: [user], max_tokens: 9 }));
const begun = { isBegun: true, isReported: false, isFinished: false, owesUsage: false };

function stream(path: EnginePath, never?: string, streamBytes = 1_000) {
  const outcomes: string[] = [];
  const limits = { budget: new ByteBudget(10_000), streamBytes };
  const uncounted = (): Promise<undefined> => Promise.resolve(undefined);
  const asked = { question: { path, model: 'm' }, specialTokens: special, never };
  return { outcomes, continuation: new Continuation(asked, limits, uncounted, (outcome) => outcomes.push(outcome)) };
}

test('a stream that sent nothing to its client runs again; for a response, a probe first asks for its refusal, once', async () => {
  const nothing = { ...begun, isBegun: false };
  const chat = stream('/v1/chat/completions', 'tools');
  expect(await chat.continuation.decide(REQUEST, nothing)).toEqual({ kind: 'again', body: REQUEST });
  const response = stream('/v1/responses', 'responses');
  const probe = await response.continuation.decide(REQUEST, nothing);
  if (probe.kind !== 'probe') throw new Error(probe.kind);
  expect(JSON.parse(probe.body.toString())).toMatchObject({ stream: false, max_output_tokens: 1 });
  for (const lost of [probe.body, REQUEST])
    expect(await response.continuation.decide(lost, nothing)).toEqual({ kind: 'again', body: REQUEST });
  expect([...chat.outcomes, ...response.outcomes]).toEqual([]);
});

test('the sent bytes decide how a stream continues, and each decision is reported', async () => {
  const path = '/v1/chat/completions';
  const never = stream(path, 'tools');
  expect(await never.continuation.decide(REQUEST, begun)).toEqual({ kind: 'impossible', reason: 'tools' });
  expect((await never.continuation.decide(REQUEST, { ...begun, isFinished: true })).kind).toBe('close');
  const owed = { ...begun, isFinished: true, owesUsage: true };
  expect(await never.continuation.decide(REQUEST, owed)).toEqual({ kind: 'impossible', reason: 'usage_unknown' });
  expect(never.outcomes).toEqual(['tools', 'closed', 'usage_unknown']);

  const long = stream(path, undefined, 100);
  long.continuation.add(text('x'.repeat(100)));
  expect(await long.continuation.decide(REQUEST, begun)).toEqual({ kind: 'impossible', reason: 'too_long' });

  const plain = stream(path);
  plain.continuation.add(text('one'));
  const rest = await plain.continuation.decide(REQUEST, begun);
  if (rest.kind !== 'rest') throw new Error(rest.kind);
  // A second engine that sent nothing changes nothing; one that sent more and is lost too ends the stream.
  expect(await plain.continuation.decide(rest.body, begun)).toMatchObject({ kind: 'rest', body: rest.body });
  plain.continuation.add(text('two'));
  expect(await plain.continuation.decide(rest.body, begun)).toEqual({ kind: 'impossible', reason: 'second_loss' });
  expect(plain.outcomes).toEqual(['continued', 'continued', 'second_loss']);
});

test.each([
  ['tool_calls', [{ index: 0 }]],
  ['reasoning', 'x'],
  ['reasoning_content', 'x'],
  ['refusal', 'x'],
  ['function_call', { name: 'x' }],
  ['something_new', 1],
])('A1: a stream with %s is more than text, and is not continued', async (name, value) => {
  const { continuation, outcomes } = stream('/v1/chat/completions');
  continuation.add(text('one'));
  continuation.add(sentAs(piece({ content: null, [name]: value })));
  expect(await continuation.decide(REQUEST, begun)).toEqual({ kind: 'impossible', reason: 'not_text' });
  expect(outcomes).toEqual(['not_text']);
});

test('A1: a continuation loses only its role event; text, end and log probabilities beside it stay', async () => {
  const { continuation } = stream('/v1/chat/completions');
  const nothing = { role: null, tool_calls: [], refusal: null, reasoning: '' };
  continuation.add(sentAs(piece({ ...nothing, content: 'one' })));
  const next = await continuation.decide(REQUEST, begun);
  if (next.kind !== 'rest') throw new Error(next.kind);
  const join = followOn(next.first, next.delivered);
  const delta = { role: 'assistant', content: ' two' };
  expect(join(piece(delta))).toMatchObject({ choices: [{ delta: { content: ' two' } }] });
  expect(join(piece({ ...delta, content: '' }, 'stop'))).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
  expect(JSON.stringify(join(piece(delta)))).not.toContain('role');
  for (const content of ['', null, undefined]) expect(join(piece({ ...delta, content }))).toBeUndefined();
  const [choice] = piece({ ...delta, content: '' }).choices;
  const logged = { ...piece({}), choices: [{ ...choice, logprobs: { content: [{ token: '' }] } }] };
  expect(join(logged)).toMatchObject({ choices: [{ logprobs: { content: [{ token: '' }] } }] });
});
