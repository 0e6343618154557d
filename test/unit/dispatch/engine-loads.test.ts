import { expect, test } from '@jest/globals';
import { EngineSlots } from '../../../worker-launcher/dispatch/engine-slots.ts';

const MODEL = 'm';
const entry = (id: string, text = 4) =>
  ({ id, model: MODEL, pid: 1, port: 1, state: 'ready', slots: { text, image: 1 } }) as const;

test('the loads before the next jobs are those of the engines that get them', () => {
  const slots = new EngineSlots(() => {});
  slots.update([entry('a'), entry('b')]);
  slots.take(MODEL, 'text');
  slots.take(MODEL, 'text');
  slots.take(MODEL, 'text');
  expect(slots.loads(MODEL, 'text', 4)).toEqual({ levels: [0.25, 0.5, 0.5, 0.75], step: 0.25 });
  expect(slots.loads(MODEL, 'text', 100).levels).toHaveLength(5);
  expect(slots.loads('other', 'text', 4)).toEqual({ levels: [], step: 0 });
});

test('an engine that fails counts as fuller than any full one', () => {
  const slots = new EngineSlots(() => {});
  slots.update([entry('a'), entry('b')]);
  slots.answered('a', 500);
  const { levels } = slots.loads(MODEL, 'text', 8);
  expect(levels.slice(0, 4)).toEqual([0, 0.25, 0.5, 0.75]);
  expect(levels[4]).toBeGreaterThan(2);
  slots.answered('a', 200);
  expect(slots.loads(MODEL, 'text', 2).levels).toEqual([0, 0]);
});
