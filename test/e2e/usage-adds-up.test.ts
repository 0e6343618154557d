import { expect, test } from '@jest/globals';
import { runPhases } from '../usage/phases.mjs';

/** The short form of `npm run usage`: the limits are wider by the larger share that kills lose of few requests. */
const SHORT = { calm: 48, killed: 160, atATime: 24 };

test('usage adds up to what the engines made, also if engines, a dispatcher and a gateway are killed', async () => {
  const phases = await runPhases(SHORT);
  const failed = phases.flatMap(({ phase, checks }) =>
    checks.filter(({ holds }) => !holds).map(({ what, seen }) => `${phase}: ${what}: ${seen}`),
  );
  expect(phases.map(({ checks }) => checks.length)).toEqual([8, 11]);
  expect(failed).toEqual([]);
}, 300_000);
