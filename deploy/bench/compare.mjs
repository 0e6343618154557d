// @ts-check
/** `npm run bench`: Penstock beside other gateways, in front of the same fast engine. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chart, panels } from './compare/chart.mjs';
import { allowedCores } from './compare/cpu.mjs';
import { installPeer } from './compare/install.mjs';
import { loads } from './compare/loads.mjs';
import { describeMachine } from './compare/machine.mjs';
import { merge, rowOf, total } from './compare/merge.mjs';
import { HELP, readOptions } from './compare/options.mjs';
import { pack } from './compare/pack.mjs';
import { PEERS } from './compare/peers.mjs';
import { partOf, pinningPlan, steps } from './compare/plan.mjs';
import { runSteps } from './compare/run-steps.mjs';
import { page } from './compare/table.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CACHE = join(ROOT, '.cache/bench');
/** From then on an exit ends the gateways. */
let measuring = false;
/** @param {string} line */
const say = (line) => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);

/** @param {AbortSignal} signal ends installers and the pack */
async function main(signal) {
  const args = process.argv.slice(2);
  const all = loads({ seconds: 3, streams: 1 }).map(({ name }) => name);
  const options = readOptions(args, { peers: PEERS.map(({ name }) => name), loads: all });
  if (options.help) return console.log(HELP);
  if (process.platform !== 'linux') throw new Error('the benchmark reads CPU times from /proc: run it on Linux');
  const peers = PEERS.filter(({ name }) => options.only.includes(name));
  await mkdir(CACHE, { recursive: true });
  if (options.pack !== undefined)
    return pack(resolve(options.pack), { ...options, root: ROOT, cache: CACHE, peers, say, signal });
  const ready = await installed(peers, signal);

  const cores = allowedCores();
  const plan = pinningPlan(cores);
  const machine = describeMachine(ROOT, cores.length, plan.callers !== null);
  const chosen = loads(options).filter(({ name }) => options.loads.includes(name));
  const todo = partOf(steps(options.only), options.part);
  const name = options.name ?? `${machine.date}-${machine.name}`;
  const commands = [['npm run bench --', ...args].join(' ')];
  // Before the measurement, because the earlier parts of this name can be of another machine.
  await write(name, options.out, { machine, commands, runs: [] });
  measuring = true;
  /** @param {import('./compare/merge.mjs').Run[]} runs */
  const keep = async (runs) => say(`wrote ${await write(name, options.out, { machine, commands, runs })}`);
  const runs = await runSteps(todo, { peers: ready, loads: chosen, cores: plan, cache: CACHE, say, keep });
  if (runs.every(({ measured }) => measured === undefined)) process.exitCode = 1;
}

/**
 * Installs the gateways. One that cannot be installed gets a problem in place of figures.
 * @param {readonly import('./compare/peers.mjs').Peer[]} peers
 * @param {AbortSignal} signal
 */
async function installed(peers, signal) {
  const all = [];
  for (const peer of peers)
    try {
      if (peer.install !== undefined) await installPeer(peer.install, { cache: CACHE, say, signal });
      all.push(peer);
    } catch (error) {
      signal.throwIfAborted();
      const problem = error instanceof Error ? error.message : String(error);
      say(`${peer.name}: ${problem}`);
      all.push({ ...peer, problem });
    }
  return all;
}

/** @param {string} name @param {string | undefined} out @param {import('./compare/merge.mjs').Results} part @returns {Promise<string>} the page */
async function write(name, out, part) {
  const folder = resolve(out ?? join(ROOT, 'deploy/bench/results'));
  const raw = join(out === undefined ? join(CACHE, 'results') : folder, `${name}.json`);
  await mkdir(folder, { recursive: true });
  await mkdir(join(raw, '..'), { recursive: true });
  const before = existsSync(raw) ? JSON.parse(await readFile(raw, 'utf8')) : undefined;
  const results = merge(before, part);
  await writeFile(raw, `${JSON.stringify(results)}\n`);
  const { runs } = results;
  const shown = PEERS.filter((peer) => runs.some((run) => run.peer === peer.name));
  /** @param {string} load */
  const rows = (load) =>
    shown.flatMap((peer) => {
      const own = runs.filter((run) => run.peer === peer.name && run.load === load);
      return own.length === 0 ? [] : [rowOf(peer.title, own)];
    });
  const sections = loads({ seconds: 3, streams: 1 }).filter((load) => runs.some((run) => run.load === load.name));
  const svg = join(folder, `${name}.svg`);
  await writeFile(svg, chart(panels(rows, total)));
  const markdown = join(folder, `${name}.md`);
  await writeFile(markdown, page(results, { rows, loads: sections, peers: shown, chart: basename(svg) }));
  return markdown;
}

const stop = new AbortController();
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.once(name, () => {
    stop.abort(new Error(`ended by ${name}`));
    if (measuring) process.exit(130);
  });
try {
  await main(stop.signal);
} catch (error) {
  console.error(error instanceof Error ? `bench: ${error.message}` : error);
  process.exitCode = 1;
}
