// @ts-check
/** `npm run bench:scale`: what several gateways and dispatchers of Penstock carry, with how many cores and how much memory. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { allowedCores, residentMiB } from './compare/cpu.mjs';
import { TOKEN_MS } from './compare/loads.mjs';
import { describeMachine } from './compare/machine.mjs';
import { measure } from './compare/measure.mjs';
import { pinningPlan } from './compare/plan.mjs';
import { startPenstock } from './compare/start-penstock.mjs';
import { withRunning } from './compare/with-running.mjs';
import { NODE, SLOW_TOKEN_MS, manyRequests, manyStreams, nodeLoad, openStreams, soakLoads } from './scale/loads.mjs';
import { memoryTable, ratesTable } from './scale/table.mjs';

const HELP = `usage: npm run bench:scale -- [--only NAMES] [--sizes SIZES] [--seconds N] [--load PERCENT] [--out FOLDER] [--name NAME]
       npm run bench:scale -- --soak MINUTES [--load PERCENT] [--out FOLDER] [--name NAME]

Penstock alone in front of a fast engine. It prints a page with tables and writes it into a file. Linux only.

  --only NAMES    with commas between them (default: all)
                    sizes  more streams, then more requests, than each size carries
                    node   the load of one ND96amsr node: ${NODE.chunksPerSecond} chunks/s and ${NODE.requestsPerSecond} new streams/s
                    open   5,000 open streams, one token a second, with the memory of each process
  --sizes SIZES   gateways x dispatchers (default 1x1,1x4,2x2,4x4; for the node 1x2,2x2)
  --seconds N     seconds of each load (default 10)
  --soak MINUTES  instead of these: streams, requests and pictures at the same time, and how memory grows after minute 5
  --load PERCENT  of the full load (default 100; on two cores take 10)
  --out FOLDER    for NAME.md (default deploy/bench/results)
  --name NAME     of this file (default: scale, date and host name)
  --help          this text`;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NAMES = ['sizes', 'node', 'open'];
/** From then on the memory of a process that leaks nothing hardly grows. */
const SETTLED_MINUTES = 5;
/** The launchers of one run share a core, and the two Redis have one each. */
const OTHER_PROCESSES = 3;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: NAMES.join(',') },
    sizes: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    soak: { type: 'string' },
    load: { type: 'string', default: '100' },
    out: { type: 'string', default: join(ROOT, 'deploy/bench/results') },
    name: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const [seconds, share, soakMinutes] = [Number(values.seconds), Number(values.load) / 100, Number(values.soak ?? 0)];
const cores = allowedCores();

/** @typedef {{ gateways: number, dispatchers: number }} Size */

/** @param {string} text @returns {Size[]} @throws Error for a text that is no list of sizes */
function sizesOf(text) {
  return text.split(',').map((one) => {
    const [, gateways, dispatchers] = (/^(\d+)x(\d+)$/.exec(one) ?? []).map(Number);
    if (!gateways || !dispatchers) throw new Error(`--sizes has ${one}: write gateways x dispatchers, for example 2x2`);
    return { gateways, dispatchers };
  });
}

/**
 * @template T @param {Size} size @param {number} tokenMs
 * @param {(running: import('./compare/peers.mjs').Running, with_: import('./compare/measure.mjs').With) => Promise<T>} work
 */
function withPenstock(size, tokenMs, work) {
  say(`${size.gateways}x${size.dispatchers}: starting …`);
  const plan = pinningPlan(cores, size.gateways + size.dispatchers + OTHER_PROCESSES);
  return withRunning((place) => startPenstock(place, { ...size, tokenMs }), { cores: plan, cache: '' }, work);
}

/** @param {string} line */
function say(line) {
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
}

/** @param {import('./compare/peers.mjs').Running} running @returns {Record<string, number>} MiB of each process */
function memoryOf({ watched }) {
  return Object.fromEntries(Object.entries(watched).map(([name, one]) => [name, residentMiB(one)]));
}

/** @param {Size[]} sizes */
async function measureSizes(sizes) {
  /** @type {Record<'streams' | 'requests', import('./scale/table.mjs').Row[]>} */
  const rows = { streams: [], requests: [] };
  for (const size of sizes)
    await withPenstock(size, TOKEN_MS, async (running, with_) => {
      const title = `${size.gateways} × ${size.dispatchers}`;
      // First, because code runs many times slower before it is compiled, and streams have no warm-up.
      const requests = manyRequests(size.gateways, seconds, share);
      rows.requests.push({ title, measured: await measure(running, requests, with_) });
      const load = manyStreams(size.gateways, seconds, share);
      const offered = (load.concurrency * 1_000) / TOKEN_MS;
      rows.streams.push({ title, offered, measured: await measure(running, load, with_) });
    });
  return `## Streams\n\n${ratesTable('chunks/s', rows.streams)}\n\n## Non-streamed requests\n\n${ratesTable('requests/s', rows.requests)}`;
}

/** @param {Size[]} sizes */
async function measureNode(sizes) {
  const offered = NODE.chunksPerSecond * share;
  const rows = [];
  for (const size of sizes) {
    const measured = await withPenstock(size, TOKEN_MS, (running, with_) =>
      measure(running, nodeLoad(seconds, share), with_),
    );
    rows.push({ title: `${size.gateways} × ${size.dispatchers}`, offered, measured });
  }
  const streams = (NODE.requestsPerSecond * share).toFixed(0);
  return `## The load of one ND96amsr node\n\n${offered} chunks/s and ${streams} new streams/s.\n\n${ratesTable('chunks/s', rows)}`;
}

async function measureOpen() {
  const load = openStreams(seconds, share);
  return withPenstock({ gateways: 1, dispatchers: 1 }, SLOW_TOKEN_MS, async (running, with_) => {
    const idle = memoryOf(running);
    const measured = await measure(running, load, with_);
    const rates = ratesTable('chunks/s', [{ title: '1 × 1', offered: load.concurrency, measured }]);
    return `## ${load.concurrency} open streams, one token a second\n\n${rates}\n\n${memoryTable(['idle', 'at most'], idle, measured.memoryEach)}`;
  });
}

/** @param {number} minutes */
async function soak(minutes) {
  return withPenstock({ gateways: 1, dispatchers: 1 }, TOKEN_MS, async (running, with_) => {
    const early = Math.min(SETTLED_MINUTES, minutes / 2);
    const all = Promise.all(soakLoads(minutes, share).map((load) => measure(running, load, with_)));
    const atEarly = await Promise.race([pause(early * 60_000).then(() => memoryOf(running)), all.then(() => ({}))]);
    const measured = await all;
    const atEnd = memoryOf(running);
    const done = measured.map(({ figures }) => figures.ok);
    const failed = measured.map(({ figures }) => Object.values(figures.errors).reduce((sum, one) => sum + one, 0));
    const [streams = 0, requests = 0, pictures = 0] = done;
    return `## ${minutes} minutes under load\n\n${streams} streams, ${requests} requests and ${pictures} pictures were answered, ${failed.join(', ')} failed.\n\n${memoryTable([`minute ${early}`, 'end'], atEarly, atEnd)}`;
  });
}

async function main() {
  if (values.help) return console.log(HELP);
  if (process.platform !== 'linux') throw new Error('the benchmark reads CPU times from /proc: run it on Linux');
  const only = values.only.split(',');
  const wrong = only.filter((name) => !NAMES.includes(name));
  if (wrong.length > 0) throw new Error(`--only names ${wrong.join(', ')}: known are ${NAMES.join(', ')}`);
  if (![seconds, share].every((one) => one > 0) || !(soakMinutes >= 0))
    throw new Error('--seconds, --load and --soak are numbers above 0');
  const { name, model, memoryGiB, node, commit, date } = describeMachine(ROOT, cores.length, false);
  const file = resolve(values.out, `${values.name ?? `scale-${date}-${name}`}.md`);
  const sections = [
    `# Penstock alone, ${date}`,
    `| machine | cores | processor | memory | Node | commit |\n| --- | --- | --- | --- | --- | --- |\n| ${name} | ${cores.length} | ${model} | ${memoryGiB} GiB | ${node} | \`${commit}\` |`,
    `\`npm run bench:scale -- ${process.argv.slice(2).join(' ')}\``,
  ];
  await mkdir(values.out, { recursive: true });
  /** @type {(() => Promise<string>)[]} */
  const steps =
    soakMinutes > 0
      ? [() => soak(soakMinutes)]
      : [
          ...(only.includes('sizes') ? [() => measureSizes(sizesOf(values.sizes ?? '1x1,1x4,2x2,4x4'))] : []),
          ...(only.includes('node') ? [() => measureNode(sizesOf(values.sizes ?? '1x2,2x2'))] : []),
          ...(only.includes('open') ? [measureOpen] : []),
        ];
  for (const step of steps) {
    const section = await step();
    console.log(`\n${section}\n`);
    sections.push(section);
    await writeFile(file, `${sections.join('\n\n')}\n`);
    say(`wrote ${file}`);
  }
}

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.once(name, () => process.exit(130));
try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? `bench:scale: ${error.message}` : error);
  process.exitCode = 1;
}
