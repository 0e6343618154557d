// @ts-check
/**
 * `npm run bench:promise`: what callers are promised while the engines are full, and whether it is kept. Three gateways, two
 * launchers with simulated engines, two Redis.
 */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeMachine } from './compare/machine.mjs';
import { allowedCores } from './compare/cpu.mjs';
import { MIXES, THREE_KEYS, measureEstimate } from './promise/estimate.mjs';
import { measureFair, measureTiers } from './promise/fair.mjs';
import { printFigures } from './promise/figures.mjs';
import { measureMixed } from './promise/mixed.mjs';
import { measureOverload } from './promise/overload.mjs';
import { measureBadEngine, measurePlacement } from './promise/placement.mjs';
import { measureRefusalCost } from './promise/refusal-cost.mjs';
import { measureSdks } from './promise/sdks/measure.mjs';
import { measureWaiting } from './promise/waiting.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HELP = `usage: npm run bench:promise -- [--only NAMES] [--times K] [--seconds N] [--engines N] [--slots N] [--limit N] [--requests N] [--rate N] [--json FILE]

  --only NAMES   with commas between them (default: all)
                   overload          one key offers more than the engines can answer, then half of it
                   overload-no-keys  the same without keys
                   overload-heavy    a key offers ten times its share, beside a light key
                   overload-sdks     1.5 times the capacity from OpenAI's and Azure's SDKs, oldest and newest, with one key and none
                   estimate          the wait that the gateway reports against the real one, for several mixes of keys
                   fair              a key that offers ten times what another does
                   tiers             priority, default and flex of one key, beside other keys
                   refusal-cost      CPU time of a refused request against a served one
                   placement         --requests requests at random times: did each get one of the emptiest engines
                   failing-engine    one engine fails everything
                   slow-engine       one engine is ten times slower
                   mixed             text answers a second, alone and while all picture slots are full
                   waiting           CPU time of 2,000 streams in the queue
  --times K      offered load of overload, as a multiple of the capacity; several with commas (default 1.5,3)
  --seconds N    of each load (default 60)
  --engines N    of each of the two launchers (default 4)
  --slots N      of each engine (default 4)
  --token-ms N   time of a token (default 100)
  --limit N      places in the queue (default 100)
  --requests N   of placement (default 500)
  --rate N       of placement, requests a second (default 25)
  --json FILE    write the figures there too
  --help         this text`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    times: { type: 'string', default: '1.5,3' },
    seconds: { type: 'string', default: '60' },
    engines: { type: 'string', default: '4' },
    slots: { type: 'string', default: '4' },
    'token-ms': { type: 'string', default: '100' },
    limit: { type: 'string', default: '100' },
    requests: { type: 'string', default: '500' },
    rate: { type: 'string', default: '25' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const LAUNCHERS = 2;
const HALF_SECONDS = 20;
const HEAVY_TIMES = 10;
const SDK_TIMES = 1.5;
/** The smallest: with it a rebase comes each 30 to 40 s. */
const SMALL_WEIGHT = 0.001;
/** Of an answer with 1 to 20. */
const MEAN_TOKENS = 10.5;

const size = {
  launchers: LAUNCHERS,
  engines: Number(values.engines),
  slots: Number(values.slots),
  tokenMs: Number(values['token-ms']),
};
const [seconds, limit] = [Number(values.seconds), Number(values.limit)];
const [requests, perSecond] = [Number(values.requests), Number(values.rate)];
const overload = { size, seconds, halfSeconds: HALF_SECONDS, limit };
const sdks = { size, times: SDK_TIMES, seconds, limit, tokens: MEAN_TOKENS };
const multiples = values.times.split(',').map(Number);

/** @typedef {() => Promise<import('./promise/figures.mjs').Figures>} Measure */
/** @param {'one-key' | 'no-keys'} callers @returns {Record<string, Measure>} */
const overloads = (callers) =>
  Object.fromEntries(
    multiples.map((times) => [`${times} times`, () => measureOverload({ ...overload, times, callers })]),
  );
/** @param {Record<string, unknown>} fault @returns {Record<string, Measure>} */
const badEngine = (fault) => ({
  'half the capacity': () => measureBadEngine(size, seconds, fault, 0.5),
  'all of the capacity': () => measureBadEngine(size, seconds, fault, 1),
});
/** @type {Record<string, Record<string, Measure>>} */
const SCENARIOS = {
  overload: overloads('one-key'),
  'overload-no-keys': overloads('no-keys'),
  'overload-heavy': { '': () => measureOverload({ ...overload, times: HEAVY_TIMES, callers: 'heavy' }) },
  'overload-sdks': {
    'one key': () => measureSdks({ ...sdks, hasKeys: true }),
    'no keys': () => measureSdks({ ...sdks, hasKeys: false }),
  },
  estimate: {
    ...Object.fromEntries(
      Object.entries(MIXES).map(([name, mix]) => [name, () => measureEstimate(size, seconds, mix)]),
    ),
    'three keys, 8 slots': () => measureEstimate({ ...size, engines: 1, slots: 4 }, seconds, THREE_KEYS),
  },
  fair: {
    '': () => measureFair(size, seconds, 1),
    'while all priorities are lowered': () => measureFair(size, seconds, SMALL_WEIGHT),
  },
  tiers: { '': () => measureTiers(size, seconds) },
  'refusal-cost': { '': () => measureRefusalCost(size, seconds) },
  placement: { '': () => measurePlacement({ size, requests, perSecond }) },
  'failing-engine': badEngine({ 'fail-requests': true }),
  'slow-engine': badEngine({ slow: 10 }),
  mixed: { '': () => measureMixed(size, seconds) },
  waiting: {
    '': () => measureWaiting(size, seconds, false),
    'with x-penstock-progress': () => measureWaiting(size, seconds, true),
  },
};

async function main() {
  if (values.help) return console.log(HELP);
  if (process.platform !== 'linux') throw new Error('the benchmark reads CPU times from /proc: run it on Linux');
  const names = values.only?.split(',') ?? Object.keys(SCENARIOS);
  const wrong = names.filter((name) => !(name in SCENARIOS));
  if (wrong.length > 0)
    throw new Error(`--only names ${wrong.join(', ')}: known are ${Object.keys(SCENARIOS).join(', ')}`);
  if (![seconds, limit, requests, perSecond, ...Object.values(size), ...multiples].every((one) => one > 0))
    throw new Error(
      '--times, --seconds, --engines, --slots, --token-ms, --limit, --requests and --rate are numbers above 0',
    );
  const machine = describeMachine(ROOT, allowedCores().length, false);
  /** @type {Record<string, import('./promise/figures.mjs').Figures>} */
  const all = {};
  for (const name of names)
    for (const [variant, measure] of Object.entries(SCENARIOS[name] ?? {})) {
      const title = `${name} ${variant}`.trim();
      console.log(`\n${title}: starting …`);
      const figures = await measure();
      all[title] = figures;
      printFigures(title, figures);
      if (values.json !== undefined)
        await writeFile(resolve(values.json), `${JSON.stringify({ machine, size, all }, null, 2)}\n`);
    }
}

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.once(name, () => process.exit(130));
try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? `bench:promise: ${error.message}` : error);
  process.exit(1);
}
