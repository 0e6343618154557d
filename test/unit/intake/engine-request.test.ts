import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { readEngineRequest } from '../../../gateway/intake/engine-request.ts';
import { planContinuation } from '../../../gateway/answer/continuation.ts';
import { dataUri, noisePng } from '../../support/pictures.ts';

const url = dataUri(noisePng(200, 200));
const messages = [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];

test('a request that is sent again in another form has its picture, which was never parsed', () => {
  const request = readEngineRequest(Buffer.from(JSON.stringify({ model: 'm', messages, stream: true })));
  expect(JSON.stringify(request.body).length).toBeLessThan(300);
  const changed = request.write({ ...z.looseObject({}).parse(request.body), stream: false }).toString();
  // Compared by hand, because the matcher would print both.
  expect(changed === JSON.stringify({ model: 'm', messages, stream: false })).toBe(true);
});

test('a continued stream about a picture includes the picture', async () => {
  const original = Buffer.from(JSON.stringify({ model: 'm', messages, max_tokens: 100 }));
  const delivered = { id: 'a', created: 1, text: 'It shows', events: 2, other: false };
  const plan = await planContinuation(original, delivered, () => Promise.resolve(undefined), /never/);
  const expected = {
    model: 'm',
    messages: [...messages, { role: 'assistant', content: 'It shows' }],
    max_tokens: 98,
    add_generation_prompt: false,
    continue_final_message: true,
  };
  expect(plan.kind === 'rest' && plan.body.toString() === JSON.stringify(expected)).toBe(true);
});
