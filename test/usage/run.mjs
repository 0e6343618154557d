// @ts-check
/**
 * `npm run usage`: sends mixed requests while parts of Penstock are killed, and compares the usage of each key with what the
 * simulated engines wrote down. Ends with `N passed, N failed`.
 */
import { parseArgs } from 'node:util';
import { FULL, runPhases } from './phases.mjs';

const HELP = `usage: npm run usage -- [--requests N] [--at-a-time N]

  --requests N    requests of the phase with faults (2000); the phase without has a quarter of it
  --at-a-time N   requests at a time (64)
  --help          print this help`;

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: String(FULL.requests) },
    'at-a-time': { type: 'string', default: String(FULL.atATime) },
    help: { type: 'boolean', default: false },
  },
});

// A failed phase may leave connections open.
process.exit(await main());

async function main() {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [requests, atATime] = [Number(values.requests), Number(values['at-a-time'])];
  if (!Number.isInteger(requests) || requests < 100 || !Number.isInteger(atATime) || atATime < 8) {
    console.error('--requests is a number from 100, --at-a-time one from 8');
    return 1;
  }
  let [passed, failed] = [0, 0];
  for (const { phase, checks } of await runPhases({ calm: Math.round(requests / 4), killed: requests, atATime })) {
    console.log(`\n${phase}`);
    for (const { what, holds, seen } of checks) {
      if (holds) passed += 1;
      else failed += 1;
      console.log(`  ${holds ? 'passed' : 'FAILED'}  ${what}: ${seen}`);
    }
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}
