import { expect, test } from '@jest/globals';
import { specialTokenPattern } from '../../../gateway/contract/special-tokens.ts';
import { planContinuation } from '../../../gateway/answer/continuation.ts';
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

test('N6: an answer whose text spells a special token is not gone on with: an engine would read the token itself', async () => {
  expect((await plan('An ordinary <b>text</b> | more')).kind).toBe('continue');
  for (const text of ['It ends with <|end|>', 'as <s> does', 'a picture <|image_1|> of'])
    expect(await plan(text)).toEqual({ kind: 'refused', reason: 'control_tokens' });
});

test('N6: nor where the caller began the token and the model ended it', async () => {
  expect((await plan('er| of it', 'x <|us')).kind).toBe('continue');
  expect(await plan('er|> of it', 'x <|us')).toEqual({ kind: 'refused', reason: 'control_tokens' });
});
