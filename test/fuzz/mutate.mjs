// @ts-check
/**
 * `npm run mutate`: valid requests of all routes, changed in bodies, pictures, heads, paths, chunks and bytes, against a real
 * stack; then the same ones again. No crash, no 5xx except 503 and 504, no log line of level error, no request without an answer.
 * After the second pass at most a tenth more memory than after the first. The last line is `N passed, N failed`: requests.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { memoryFaults, runMutations } from './mutation-run.mjs';

const TENTH = 0.1;
const { values } = parseArgs({
  options: {
    mutations: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '15' },
    limit: { type: 'string', default: '1800' },
    passes: { type: 'string', default: '2' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'penstock-mutate-'));
try {
  const { count, failures, passes } = await runMutations({
    folder,
    count: Number(values.mutations),
    seed: Number(values.seed),
    passes: Number(values.passes),
    limitMs: 1_000 * Number(values.limit),
    say: (line) => console.log(line),
  });
  failures.push(...memoryFaults(passes, TENTH, ['heap', 'rss']));
  for (const failure of failures.slice(0, 20)) console.log(failure);
  console.log(`${count} mutants, ${passes.length} passes, seed ${values.seed}`);
  console.log(`${count * passes.length - failures.length} passed, ${failures.length} failed`);
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
