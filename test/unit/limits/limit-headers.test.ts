import { expect, test } from '@jest/globals';
import { limitHeaders } from '../../../gateway/http/limit-headers.ts';

test('the headers of OpenAI and of the IETF draft, with the tokens of the minute before those of the day', () => {
  expect(
    limitHeaders([
      { limit: 'requests_per_minute', allowed: 60, remaining: 10, resetMs: 29_001 },
      { limit: 'tokens_per_minute', allowed: 9_000, remaining: 0, resetMs: 59_999 },
      { limit: 'tokens_per_day', allowed: 1_000_000, remaining: 7, resetMs: 18_183_000 },
    ]),
  ).toEqual({
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '10',
    'x-ratelimit-reset-requests': '30s',
    'x-ratelimit-limit-tokens': '9000',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '1m0s',
    'ratelimit-policy':
      '"requests";q=60;w=60, "tokens";q=9000;qu="tokens";w=60, "tokens-day";q=1000000;qu="tokens";w=86400',
    ratelimit: '"requests";r=10;t=30, "tokens";r=0;t=60, "tokens-day";r=7;t=18183',
  });
});

test('a key with a day’s limit alone has it as its tokens', () => {
  expect(limitHeaders([{ limit: 'tokens_per_day', allowed: 5, remaining: 1, resetMs: 18_183_000 }])).toMatchObject({
    'x-ratelimit-limit-tokens': '5',
    'x-ratelimit-reset-tokens': '5h3m3s',
  });
});
