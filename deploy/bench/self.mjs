// @ts-check
/**
 * `npm run bench:self`: CPU time of each process of Penstock, and of Redis, per non-streamed request and per streamed
 * chunk, or per picture, against the simulator as a fast local engine. Timings of a busy machine are only ratios; CPU time
 * is steadier.
 */
import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { allowedCores } from './compare/cpu.mjs';
import { commitOf } from './compare/machine.mjs';
import { askPlain, askStreams } from './self/callers.mjs';
import { startCollector } from './self/collector.mjs';
import { bytesOfOneAnswer, measureDurable } from './self/durable.mjs';
import { delayOfOnePicture, measurePictures } from './self/pictures.mjs';
import { readRecorded, record } from './self/recorded.mjs';
import { measured, startStack } from './self/stack.mjs';
import { UNITS, comparison, costs, turnsOf } from './self/turns.mjs';

const HELP = `usage: npm run bench:self -- [--only requests|streams] [--requests N] [--concurrency N] [--streams N] [--tokens N]
                               [--rounds N] [--compare FOLDER] [--one-redis] [--record]
       npm run bench:self -- --traces [--only requests|streams] [--requests N] [--streams N] [--tokens N] [--rounds N]
       npm run bench:self -- --durable [--streams N] [--tokens N] [--rounds N]
       npm run bench:self -- --picture [--compare FOLDER] [--one-redis] [--record]

  --only KIND       requests or streams (default: both)
  --requests N      non-streamed requests to measure in a round (default 4000)
  --concurrency N   of them at a time (default 128)
  --streams N       concurrent streams (default 200)
  --tokens N        tokens a stream, one every 20 ms (default 200)
  --rounds N        each round starts every process again (default 1; with --compare and --traces 2, and at least 2)
  --traces          with traces, sent to a collector of its own, beside without, in turns (default 2 rounds)
  --durable         streams with an Idempotency-Key beside streams without one, in turns, and the bytes that Redis needs for
                    the longest answer
  --picture         one data: URI of 1.5 MB a request instead, and the gateway's longest block of its event loop for it
  --compare FOLDER  another built checkout, measured in turns with this one
  --one-redis       bodies and replies in the queue's Redis, and not in a second one without a file; with --compare in the
                    other checkout alone
  --record          also write the figures into deploy/bench/recorded.json, the source of a table in deploy/bench/README.md
  --help            this text`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    requests: { type: 'string', default: '4000' },
    concurrency: { type: 'string', default: '128' },
    streams: { type: 'string', default: '200' },
    tokens: { type: 'string', default: '200' },
    rounds: { type: 'string' },
    traces: { type: 'boolean', default: false },
    durable: { type: 'boolean', default: false },
    picture: { type: 'boolean', default: false },
    compare: { type: 'string' },
    'one-redis': { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
/** @typedef {import('./self/turns.mjs').Side} Side */
/** @typedef {import('./self/turns.mjs').Turn} Turn */

const [requests, concurrency, streams, tokens] = [
  Number(values.requests),
  Number(values.concurrency),
  Number(values.streams),
  Number(values.tokens),
];
const compared = values.compare !== undefined || values.traces;
const rounds = Math.max(Number(values.rounds ?? 1), compared ? 2 : 1);
const connections = Math.max(concurrency, streams);
const oneRedis = values['one-redis'];
/** @type {Partial<Record<Side, import('./self/stack.mjs').Choice>>} */
const choices = {
  this: { connections, oneRedis: oneRedis && !compared },
  ...(values.compare === undefined ? {} : { other: { root: resolve(values.compare), connections, oneRedis } }),
};

/** One turn starts every process, because the same program costs more or less from one start to the next. */
const KINDS = {
  requests: {
    engine: { PENSTOCK_SIM_ITL_MS: '0' },
    about: `${requests} non-streamed requests, ${concurrency} at a time`,
    command: `--requests ${requests} --concurrency ${concurrency}`,
    /** @param {import('undici').Pool} pool */
    work: (pool) => askPlain(pool, requests, concurrency),
  },
  streams: {
    engine: { PENSTOCK_SIM_ITL_MS: '20' },
    about: `${streams} streams of ${tokens} tokens, one every 20 ms`,
    command: `--streams ${streams} --tokens ${tokens}`,
    /** @param {import('undici').Pool} pool */
    work: (pool) => askStreams(pool, streams, tokens),
  },
};

/** @param {keyof typeof KINDS} kind */
async function measureInTurns(kind) {
  const { engine, about, work } = KINDS[kind];
  console.log(`${about} …`);
  /** @type {Record<Side, Turn[]>} */
  const turns = { this: [], other: [] };
  for (const side of turnsOf(rounds, compared)) {
    const { pool, pids, end } = await startStack(engine, choices[side]);
    try {
      const turn = await measured(pids, () => work(pool));
      turns[side].push(turn);
      const { digits, unit, what } = UNITS[kind];
      const rate = (turn.count / turn.wallSeconds).toFixed(0);
      console.log(`${side}: ${costs([turn], UNITS[kind])['all']?.toFixed(digits)} ${unit} ${what}, ${rate}/s`);
    } finally {
      await end();
    }
  }
  return turns;
}

/**
 * @param {keyof typeof UNITS} kind @param {string} command @param {Record<Side, Turn[]>} turns
 * @param {readonly [string, string]} [names] of the sides
 */
function show(kind, command, turns, names) {
  const unit = UNITS[kind];
  const ours = costs(turns.this, unit);
  const other = turns.other.length > 0 ? { other: costs(turns.other, unit) } : {};
  const recorded = readRecorded()[kind];
  console.log(`\n${comparison(unit, { this: ours, ...other }, recorded, names)}\n`);
  if (recorded !== undefined)
    console.log(`recorded with ${recorded.command}; compare only ratios, the machine was another one or less busy\n`);
  if (!values.record) return;
  const round = (/** @type {number} */ value) => Number(value.toPrecision(3));
  record({
    [kind]: {
      command,
      date: new Date().toISOString().slice(0, 10),
      commit: commitOf('.'),
      node: process.version.split('.', 1)[0] ?? '',
      cores: allowedCores().length,
      load,
      costs: Object.fromEntries(Object.entries(ours).map(([name, value]) => [name, round(value)])),
    },
  });
}

const load = Math.round(loadavg()[0] ?? 0);

async function main() {
  if (values.help) return console.log(HELP);
  if (process.platform !== 'linux') throw new Error('bench:self reads CPU times from /proc, so it runs on Linux only');
  if (values.compare !== undefined && !existsSync(join(values.compare, 'dist/gateway/main.js')))
    throw new Error(`--compare ${values.compare} has no dist/gateway/main.js: run npm run build there`);
  if (values.traces && values.compare !== undefined)
    throw new Error('--traces compares with this checkout, not with another one');
  if (values.durable) {
    const turns = await measureDurable(streams, tokens, rounds);
    show('durable', `--durable --streams ${streams} --tokens ${tokens}`, turns, ['with a key', 'without']);
    const { running, kept } = await bytesOfOneAnswer();
    return console.log(`Redis needs ${running} bytes for an answer of 4,096 tokens just before its end, then ${kept}`);
  }
  if (values.picture) {
    show('picture', '--picture', await measurePictures(choices));
    const { usual, longest } = await delayOfOnePicture();
    console.log(
      `CPU ms for which one picture delays the gateway's event loop: ${usual.toFixed(1)} usually, ${longest.toFixed(1)} at most`,
    );
    return;
  }
  const kinds = /** @type {(keyof typeof KINDS)[]} */ (Object.keys(KINDS)).filter(
    (kind) => (values.only ?? kind) === kind,
  );
  if (kinds.length === 0) throw new Error(`--only is ${values.only}: known are ${Object.keys(KINDS).join(', ')}`);
  if (values.traces) return measureTraces(kinds);
  for (const kind of kinds) show(kind, KINDS[kind].command, await measureInTurns(kind));
}

/** @param {readonly (keyof typeof KINDS)[]} kinds */
async function measureTraces(kinds) {
  const collector = await startCollector();
  choices.this = { connections, oneRedis, env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } };
  choices.other = { connections, oneRedis };
  for (const kind of kinds)
    show(kind, `--traces ${KINDS[kind].command}`, await measureInTurns(kind), ['with traces', 'without']);
  console.log(`${collector.exports()} exports arrived`);
  collector.end();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? `bench:self: ${error.message}` : error);
  process.exit(1);
}
