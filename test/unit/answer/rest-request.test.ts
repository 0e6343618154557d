import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { RestRequest } from '../../../gateway/answer/rest-request.ts';

const Seeded = z.object({ seed: z.unknown() });

test.each([
  [5, 8],
  ['-9223372036854775808', '-9223372036854775805'],
  ['9223372036854775807', '-9223372036854775806'],
])('a continuation changes the seed %j to another one of 64 bits, by the number of delivered tokens', (seed, next) => {
  const asked = { model: 'm', messages: [{ role: 'user', content: 'hi' }], max_tokens: 9, seed };
  const rest = new RestRequest(Buffer.from(JSON.stringify(asked)), 'so').write(3);
  expect(Seeded.parse(JSON.parse(rest.toString())).seed).toBe(next);
});
