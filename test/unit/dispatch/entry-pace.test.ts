import { expect, test } from '@jest/globals';
import { EntryPace } from '../../../worker-launcher/dispatch/entry-pace.ts';

/** A pace after `ms` milliseconds with one entry of `frames` in each. */
function after(ms: number, frames: number): { pace: EntryPace; now: number } {
  const pace = new EntryPace();
  for (let now = 1; now <= ms; now += 1) pace.wrote(frames, now);
  return { pace, now: ms };
}

test('the first frame of a quiet dispatcher is written at once', () => {
  expect(new EntryPace().waitMs(0)).toBe(0);
  const pace = new EntryPace();
  pace.wrote(50, 0);
  expect(pace.waitMs(0.1)).toBe(0);
});

test('while frames are few, no frame waits for another', () => {
  const pace = new EntryPace();
  // One stream: claimed, head and a token every 20 ms.
  for (let now = 0; now < 1_000; now += 20) {
    expect(pace.waitMs(now)).toBe(0);
    pace.wrote(1, now);
    expect(pace.waitMs(now + 0.5)).toBe(0);
  }
});

test('while they are many, an entry waits two milliseconds after the one before, and no longer', () => {
  const { pace, now } = after(100, 5);
  expect(pace.waitMs(now + 0.5)).toBeCloseTo(1.5);
  expect(pace.waitMs(now + 2)).toBe(0);
  expect(pace.waitMs(now + 500)).toBe(0);
});

test('once they are few again, none waits', () => {
  const { pace, now } = after(100, 5);
  pace.wrote(1, now + 200);
  expect(pace.waitMs(now + 200.5)).toBe(0);
});
