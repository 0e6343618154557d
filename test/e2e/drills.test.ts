import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DRILLS } from '../drill/catalog.mjs';
import { isSound } from '../drill/ledger.mjs';
import { startOracle } from '../drill/questions.mjs';

/** A drill mostly waits for the effects of a fault, so several run concurrently. */
const AT_A_TIME = 4;
const REQUESTS = 24;

type Outcome = Awaited<ReturnType<(typeof DRILLS)[number]['run']>>;

const possible = DRILLS.filter(({ missing }) => missing?.() === undefined);
const outcomes = new Map<string, Promise<Outcome>>();
let oracle: Awaited<ReturnType<typeof startOracle>>;

beforeAll(async () => {
  oracle = await startOracle();
  const waiting = [...possible];
  const starts = new Map<string, () => void>();
  for (const drill of possible) {
    const started = new Promise<void>((resolve) => starts.set(drill.name, resolve));
    const outcome = started.then(() => drill.run({ requests: REQUESTS, short: true, oracle }));
    // The drill's own test reports it.
    outcome.catch(() => {});
    outcomes.set(drill.name, outcome);
  }
  const runOneByOne = async (): Promise<void> => {
    for (let drill = waiting.shift(); drill !== undefined; drill = waiting.shift()) {
      starts.get(drill.name)?.();
      await outcomes.get(drill.name)?.catch(() => {});
    }
  };
  for (let n = 0; n < AT_A_TIME; n += 1) void runOneByOne();
});
afterAll(async () => {
  await Promise.allSettled(outcomes.values());
  await oracle.stop();
});

test.each(possible.map(({ name, about }) => [name, about]))(
  '%s (%s): each request ends complete or with an error',
  async (name) => {
    const outcome = await outcomes.get(name);
    const isGood = outcome?.failed.length === 0 && isSound(outcome.row);
    // The clients' results are printed only if they are wrong.
    expect(isGood ? [] : [outcome?.failed, outcome?.row, outcome?.sentences, outcome?.notes]).toEqual([]);
  },
  180_000,
);
