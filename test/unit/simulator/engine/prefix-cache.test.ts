import { expect, test } from '@jest/globals';
import { PrefixCache } from '../../../../worker-launcher/simulator/engine/cache.ts';
import { plainPrompt } from '../../../../worker-launcher/simulator/text/prompt.ts';

const words = (count: number): string => ' word'.repeat(count);

test('a known prompt is found block by block; with another salt nothing is found', () => {
  const cache = new PrefixCache(16, 10_000);
  expect(cache.use(plainPrompt(words(100)), undefined)).toEqual({ cached: 0, created: 96 });
  expect(cache.use(plainPrompt(words(100)), undefined)).toEqual({ cached: 96, created: 0 });
  expect(cache.use(plainPrompt(words(100)), 'tenant')).toEqual({ cached: 0, created: 96 });
});

test('prompts share their common beginning', () => {
  const cache = new PrefixCache(16, 10_000);
  cache.use(plainPrompt(`${words(40)} one`), undefined);
  expect(cache.use(plainPrompt(`${words(40)} other${words(40)}`), undefined).cached).toBe(32);
});

test('the last token is always computed again', () => {
  const cache = new PrefixCache(16, 10_000);
  cache.use(plainPrompt(words(31)), undefined);
  expect(cache.use(plainPrompt(words(31)), undefined)).toEqual({ cached: 16, created: 0 });
});

test('a full cache drops its oldest blocks', () => {
  const cache = new PrefixCache(16, 64);
  cache.use(plainPrompt(`first${words(60)}`), undefined);
  cache.use(plainPrompt(`second${words(60)}`), undefined);
  expect(cache.use(plainPrompt(`first${words(60)}`), undefined).cached).toBe(0);
});
