import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { Failure } from '../../../gateway/failure.ts';
import { ContentSafety } from '../../../gateway/safety/content-safety.ts';
import { Unchecked, type Content, type Provider } from '../../../gateway/safety/provider.ts';
import { silentLog } from '../../support/silent-log.ts';

const BAD = 'verboten';
const LARGE = new Failure('image_too_large', 'messages[0].content[1] is too large', {
  param: 'messages[0].content[1]',
});
const passed = { isBlocked: false, results: {} };

/** A service that gets each text as a question of its own. */
const service = (
  check: (text: string, signal: AbortSignal) => Promise<typeof passed>,
  questions?: Provider['questions'],
): Provider => ({
  questions: questions ?? ((content) => content.texts.map((text) => ({ ...content, texts: [text] }))),
  check: ({ texts: [text = ''] }, signal) => check(text, signal),
});
const judge = (text: string): typeof passed => ({ isBlocked: text.includes(BAD), results: {} });
const safetyOf = (provider: Provider, onFailure: 'open' | 'closed', timeoutMs = 5_000): ContentSafety =>
  new ContentSafety({
    provider,
    name: 'webhook',
    directions: new Set(['prompt', 'answer']),
    onFailure,
    timeoutMs,
    concurrency: 8,
    perKey: 2,
    windowCharacters: 200,
    clock: () => performance.now(),
    log: silentLog,
    onCheck: () => {},
    onUnchecked: () => {},
  });
const ask = (safety: ContentSafety, ...texts: string[]) =>
  safety.check({ direction: 'prompt', model: 'm', texts, pictures: [] } satisfies Content, 'k', never);
const never = new AbortController().signal;

test.each(['open', 'closed'] as const)(
  'what the service never takes is refused, and no text passes: %s',
  async (mode) => {
    const tooLarge = (): never => {
      throw new Unchecked('refused', 'a picture that is too large for it', LARGE);
    };
    const early = safetyOf(
      service(async (text) => judge(text), tooLarge),
      mode,
    );
    await expect(ask(early, 'hello')).rejects.toBe(LARGE);
    const late = safetyOf(
      service(async (text) => (text === 'picture' ? tooLarge() : judge(text))),
      mode,
    );
    await expect(ask(late, 'picture', 'hello')).rejects.toBe(LARGE);
  },
);

test('`open`: one question without a verdict does not end the others, and one that blocks blocks', async () => {
  const safety = safetyOf(
    service(async (text) => {
      if (text === 'broken') throw new Unchecked('refused', 'status 500');
      await pause(20);
      return judge(text);
    }),
    'open',
  );
  expect(await ask(safety, 'broken', BAD)).toMatchObject({ isBlocked: true });
  expect(await ask(safety, 'broken', 'hello')).toMatchObject({ isBlocked: false, isUnchecked: true });
  expect(safety.status.failures).toBe(2);
});

test('`open`: who fills its own share gets 503, and the filter stays shut', async () => {
  const slow = safetyOf(
    service(async (text, signal) => {
      await pause(70, undefined, { signal });
      return judge(text);
    }),
    'open',
    100,
  );
  const many = Array.from({ length: 9 }, (_, n) => `piece ${n}`);
  await expect(ask(slow, ...many, BAD)).rejects.toMatchObject({ code: 'safety_unavailable' });
});

test('`open`: a service that is silent lets a caller within its share pass, unchecked', async () => {
  const silent = safetyOf(
    service(async (_text, signal) => {
      await pause(10_000, undefined, { signal });
      return passed;
    }),
    'open',
    50,
  );
  expect(await ask(silent, 'hello', 'world')).toMatchObject({ isBlocked: false, isUnchecked: true });
});
