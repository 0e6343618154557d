// @ts-check
/**
 * `npm run corpus`: generates thousands of pictures in the forms of encoders, cameras, editors and attackers, and
 * compares the gateway's verdict on each with that of Pillow, the engine's decoder. The last line is `N passed, N failed`:
 * files. A difference passes if `differences.mjs` lists its reason.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { gatewayVerdicts } from './gateway-verdict.mjs';
import { reasonOf, unusedReasons } from './differences.mjs';
import { pythonWithPillow, run } from './python.mjs';

const HELP = `usage: npm run corpus -- [--short] [--all]

  --short  of the files that differ in a place alone (cut, flipped), one in seven
  --all    prints the verdicts on every file, not on those alone where they differ

Needs python3 with its module venv and a way to PyPI; the environment is kept in .cache/corpus.`;
const HERE = dirname(fileURLToPath(import.meta.url));
/** the default of GATEWAY_IMAGE_LIMIT_PIXELS */
const LIMIT_PIXELS = 25_000_000;

const Verdict = z.union([
  z.object({ type: z.string(), width: z.number(), height: z.number() }),
  z.object({ refused: z.string() }),
]);
const Line = z.object({ pillow: Verdict, engine: Verdict.optional() });

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(HELP);
else await main();

async function main() {
  const python = pythonWithPillow();
  const scratch = mkdtempSync(join(tmpdir(), 'penstock-corpus-'));
  try {
    const files = lines(run(python, ['-B', join(HERE, 'make.py'), scratch, ...(values.short ? ['--short'] : [])]));
    const pillow = lines(run(python, ['-B', join(HERE, 'verdict.py'), String(LIMIT_PIXELS)], `${files.join('\n')}\n`));
    const decoded = pillow.map((line) => Line.parse(JSON.parse(line)));
    const measured = await gatewayVerdicts(files, LIMIT_PIXELS);
    const failed = report(
      files.map((file) => file.slice(scratch.length + 1)),
      measured,
      decoded,
    );
    process.exitCode = failed === 0 ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * @param {readonly string[]} names
 * @param {readonly import('./gateway-verdict.mjs').Verdict[]} measured
 * @param {readonly z.infer<typeof Line>[]} decoded
 * @returns {number} how many failed
 */
function report(names, measured, decoded) {
  const counts = { same: 0, listed: 0, failed: 0 };
  for (const [index, name] of names.entries()) {
    const gateway = /** @type {import('./gateway-verdict.mjs').Verdict} */ (measured[index]);
    const { pillow, engine } = /** @type {z.infer<typeof Line>} */ (decoded[index]);
    const isSame = short(gateway) === short(pillow);
    const reason = isSame ? '' : reasonOf({ name, gateway, pillow, engine });
    counts[isSame ? 'same' : reason === undefined ? 'failed' : 'listed'] += 1;
    if (isSame && !values.all) continue;
    const mark = isSame ? '  ' : reason === undefined ? '✗ ' : '≠ ';
    console.log(`${mark}${name}\n    gateway ${long(gateway)}\n    Pillow  ${long(pillow)}`);
    if (engine !== undefined) console.log(`    vLLM    ${long(engine)}`);
    if (!isSame) console.log(`    ${reason ?? 'no reason is listed'}`);
  }
  const unused = values.short ? [] : unusedReasons();
  for (const reason of unused) console.log(`✗ no file has the listed difference: ${reason}`);
  console.log(`${names.length} files: ${counts.same} verdicts alike, ${counts.listed} differ for a listed reason`);
  const failed = counts.failed + unused.length;
  console.log(`${counts.same + counts.listed} passed, ${failed} failed`);
  return failed;
}

/** @param {import('./gateway-verdict.mjs').Verdict} verdict */
function short(verdict) {
  return 'refused' in verdict ? 'refused' : long(verdict);
}
/** @param {import('./gateway-verdict.mjs').Verdict} verdict */
function long(verdict) {
  return 'refused' in verdict ? `refuses: ${verdict.refused}` : `${verdict.type} ${verdict.width}x${verdict.height}`;
}

/** @param {string} text */
function lines(text) {
  return text.trim().split('\n');
}
