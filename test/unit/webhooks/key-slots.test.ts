import { expect, test } from '@jest/globals';
import { KeySlots, SLOTS_PER_KEY } from '../../../gateway/webhooks/key-slots.ts';

test('a key has its slots, and others keep theirs; what finds none waits for those before it, at most two minutes', () => {
  let now = 0;
  const slots = new KeySlots(() => now);
  const enter = (count: number) => Array.from({ length: count }, () => slots.enter('slow'));
  expect(enter(SLOTS_PER_KEY)).toEqual(Array.from({ length: SLOTS_PER_KEY }, () => undefined));
  expect(slots.enter('other')).toBeUndefined();
  slots.leave('slow', 8_000);
  expect(slots.enter('slow')).toBeUndefined();
  // A delivery of 8 s in 8 slots: one is free each second.
  expect(enter(3)).toEqual([1_000, 2_000, 3_000]);
  now = 10_000;
  expect(enter(1)).toEqual([1_000]);
  expect(enter(200).at(-1)).toBe(120_000);
  slots.leave('slow', 1);
  expect(slots.enter('slow')).toBeUndefined();
});
