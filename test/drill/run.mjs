// @ts-check
/**
 * `npm run drill`: kills, freezes and cuts the parts of Penstock, one fault after another, under load, and counts how
 * each request ended. Everything runs on this machine's loopback, on its own ports and in its own folders.
 */
import { parseArgs } from 'node:util';
import { DRILLS } from './catalog.mjs';
import { isSound, sumOf } from './ledger.mjs';
import { startOracle } from './questions.mjs';

const HELP = `usage: npm run drill -- [--only NAME[,NAME...]] [--requests N] [--short] [--list]

  --only NAMES    run only these drills, in the order of the list
  --requests N    requests per drill (default 240, 24 with --short); some drills have their own number
  --short         less load and shorter limits, as in the test suite
  --list          print names and faults
  --help          print this help

Each request must end as a complete answer or as an error in its dialect’s form. A row is good if no request was
truncated, duplicated or hung, and if afterwards the stack serves, holds nothing and has left no process behind.
Exit code 1 if a row is not good.`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    requests: { type: 'string' },
    short: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** The longest drill takes about two minutes; after this time a drill hangs. */
const LIMIT_MS = 600_000;
const COLUMNS = /** @type {const} */ (['sent', 'complete', 'errors', 'truncated', 'duplicated', 'hung', 'stallMs']);

process.exitCode = await main();

async function main() {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (values.list) {
    for (const { name, about } of DRILLS) console.log(`${name.padEnd(26)} ${about}`);
    return 0;
  }
  if (process.platform !== 'linux') {
    console.error('the drills watch processes in /proc, so they run only on Linux');
    return 1;
  }
  const names = values.only?.split(',');
  const unknown = names?.filter((wanted) => !DRILLS.some(({ name }) => name === wanted)) ?? [];
  const requests = Number(values.requests ?? (values.short ? 24 : 240));
  if (unknown.length > 0 || !Number.isInteger(requests) || requests < 12 || requests > 2_000) {
    console.error(
      unknown.length > 0 ? `unknown drill: ${unknown.join(', ')}` : '--requests is a number from 12 to 2000',
    );
    return 1;
  }
  return drillAll(
    DRILLS.filter(({ name }) => names?.includes(name) ?? true),
    requests,
  );
}

/** @param {readonly import('./drill.mjs').Drill[]} drills @param {number} requests */
async function drillAll(drills, requests) {
  const oracle = await startOracle();
  const rows = [];
  let good = true;
  console.log(
    line(
      'drill',
      COLUMNS.map((name) => (name === 'stallMs' ? 'stall_ms' : name)),
      'seconds',
      '',
    ),
  );
  try {
    for (const drill of drills) {
      const missing = drill.missing?.();
      if (missing !== undefined) {
        console.log(`${drill.name.padEnd(26)} skipped: ${missing}`);
        continue;
      }
      const startedAt = performance.now();
      const outcome = await limited(drill, { requests, short: values.short, oracle });
      const { row, failed, notes, sentences } = outcome;
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
      const isGood = failed.length === 0 && isSound(row);
      good &&= isGood;
      rows.push(row);
      console.log(
        line(
          drill.name,
          COLUMNS.map((name) => String(row[name])),
          seconds,
          isGood ? 'good' : 'FAILED',
        ),
      );
      for (const text of failed) console.log(`    failed: ${text}`);
      for (const text of notes) console.log(`    ${text}`);
      for (const text of sentences.slice(0, isGood ? 3 : 8)) console.log(`    ${text.slice(0, 260)}`);
    }
  } finally {
    await oracle.stop();
  }
  const total = sumOf(rows);
  const { sent, complete, errors, truncated, duplicated, hung, stallMs } = total;
  console.log(
    `drill sent=${sent} complete=${complete} errors=${errors} truncated=${truncated} duplicated=${duplicated} hung=${hung} stall_ms=${stallMs}`,
  );
  return good ? 0 : 1;
}

/** A drill that itself fails becomes a bad row. @param {import('./drill.mjs').Drill} drill @param {import('./drill.mjs').Setup} setup */
async function limited(drill, setup) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished within ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    return await Promise.race([drill.run(setup), /** @type {Promise<never>} */ (late)]);
  } catch (error) {
    const why =
      error instanceof Error
        ? `${error.message}${error.cause === undefined ? '' : ` (${String(error.cause)})`}`
        : String(error);
    return { row: sumOf([]), failed: [why], notes: [], sentences: [] };
  } finally {
    clearTimeout(timer);
  }
}

/** @param {string} name @param {readonly string[]} numbers @param {string} seconds @param {string} verdict */
function line(name, numbers, seconds, verdict) {
  return `${name.padEnd(26)}${numbers.map((text) => text.padStart(11)).join('')}${seconds.padStart(9)}  ${verdict}`.trimEnd();
}
