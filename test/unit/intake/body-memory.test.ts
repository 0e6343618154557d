import { expect, test } from '@jest/globals';
import { BodyMemory } from '../../../gateway/intake/body-memory.ts';

test('a key gets at most its share, others the rest', () => {
  const memory = new BodyMemory(100, 60);
  const [a, b, other] = [memory.open('a'), memory.open('a'), memory.open('b')];
  expect([a.take(40), b.take(30), b.take(20), other.take(50), other.take(40)]).toEqual([
    true,
    false,
    true,
    false,
    true,
  ]);
  expect(memory.usedBytes).toBe(100);
});

test('released memory can be taken again, once', () => {
  const memory = new BodyMemory(100, 100);
  const first = memory.open('a');
  expect(first.take(100)).toBe(true);
  first.release();
  first.release();
  expect(first.take(1)).toBe(false);
  expect(memory.usedBytes).toBe(0);
  expect(memory.open('b').take(100)).toBe(true);
});
