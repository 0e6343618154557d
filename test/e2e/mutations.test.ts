import { expect, test } from '@jest/globals';
import { memoryFaults, runMutations } from '../fuzz/mutation-run.mjs';
import { either } from '../support/full-length.ts';
import { temporaryFolder } from '../support/start-process.ts';

const [COUNT, LIMIT_MS] = [either(100_000, 1_500), either(1_800_000, 150_000)];
const SEED = 4;
/** Tolerance: after few requests, one-time compilation and caches still weigh much. */
const SHARE = either(0.1, 0.3);

test(
  'N2: mutated requests on all routes: no crash, no 5xx except 503 and 504, no memory leak',
  async () => {
    using folder = temporaryFolder();
    const { failures, passes } = await runMutations({
      folder: folder.path,
      count: COUNT,
      seed: SEED,
      passes: 2,
      limitMs: LIMIT_MS,
      say: (line) => process.stdout.write(`${line}\n`),
    });
    expect(failures).toEqual([]);
    expect(memoryFaults(passes, SHARE, ['heap'])).toEqual([]);
  },
  LIMIT_MS + 60_000,
);
