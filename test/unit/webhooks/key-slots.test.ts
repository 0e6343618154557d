import { expect, test } from '@jest/globals';
import { AT_ONCE, KeySlots } from '../../../gateway/webhooks/key-slots.ts';

/** @returns how many of the deliveries began */
const enter = (slots: KeySlots, key: string, count: number): number =>
  Array.from({ length: count }, () => slots.enter(key)).filter(Boolean).length;

test('a key has one slot until its receiver has answered, eight then, and one while the receiver is silent', () => {
  const slots = new KeySlots();
  expect(enter(slots, 'a', 20)).toBe(1);
  slots.leave('a', 5_000, true);
  expect(enter(slots, 'a', 20)).toBe(8);
  // A receiver that refuses quickly is not silent.
  slots.leave('a', 5, false);
  expect(enter(slots, 'a', 20)).toBe(1);
  for (let i = 0; i < 8; i += 1) slots.leave('a', 10_000, false);
  expect([slots.free('a'), enter(slots, 'a', 20)]).toEqual([1, 1]);
  slots.leave('a', 5, true);
  expect(slots.free('a')).toBe(8);
});

test('a slot that is given up is for one event that waits; a receiver that answers again has one for each slot', () => {
  const slots = new KeySlots();
  slots.enter('a');
  expect(slots.leave('a', 5, true)).toBe(8);
  enter(slots, 'a', 2);
  expect([slots.leave('a', 5, true), slots.leave('a', 10_000, false)]).toEqual([1, 1]);
  slots.enter('a');
  expect(slots.leave('a', 5, true)).toBe(8);
});

test('silent receivers, and several deliveries of one key, leave half of the slots to the first of each key', () => {
  const slots = new KeySlots();
  for (let key = 0; key < AT_ONCE; key += 1) {
    slots.enter(`silent-${key}`);
    slots.leave(`silent-${key}`, 10_000, false);
  }
  const silent = Array.from({ length: AT_ONCE }, (_, key) => enter(slots, `silent-${key}`, 1));
  expect(silent.reduce((sum, one) => sum + one, 0)).toBe(AT_ONCE / 2);
  slots.enter('well');
  slots.leave('well', 5, true);
  expect(enter(slots, 'well', 20)).toBe(1);
  expect(enter(slots, 'new', 20)).toBe(1);
});

test('slow receivers that answer have eight slots each while half of all are free', () => {
  const slots = new KeySlots();
  const begun = Array.from({ length: 100 }, (_, key) => {
    slots.enter(`slow-${key}`);
    slots.leave(`slow-${key}`, 9_000, true);
    return enter(slots, `slow-${key}`, 20);
  });
  expect(begun.slice(0, 16)).toEqual(Array.from({ length: 16 }, () => 8));
  expect(new Set(begun.slice(16))).toEqual(new Set([1]));
  expect(slots.enter('well')).toBe(true);
});
