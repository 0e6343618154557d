// @ts-check
/** Compares the complete chain on real GPUs with vLLM alone; see `--help`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../drill/processes.mjs';
import { Clients } from './load.mjs';
import { loseEngines, measureAlone, measureLoad, onePicture } from './measure.mjs';
import { makeModel } from './model.mjs';
import { describeMachine, keep } from './results.mjs';
import { Stack } from './stack.mjs';

const HELP = `usage: node test/gpu/run.mjs --out DIR [--stages 1:abcd,2:abcde] [--engine vllm|simulator] [--limit-s N]

Measures Penstock in front of vLLM on this machine's GPUs: Phi-3-vision-128k-instruct at its true size with random weights,
one engine per GPU. Needs on PATH: nvidia-smi, vllm (0.24 or newer), redis-server, and a python3 with the package tokenizers;
in the checkout: the built dist and node_modules. It downloads nothing.

  --out DIR          gpu-results.md, gpu-results.json and logs, written after every step
  --stages LIST      numbers of GPUs, each with its phases (default: 1:abcd for one GPU, and N:abcde for all N)
                       a  seconds to ready
                       b  one picture by both dialects
                       c  text: one stream alone, then pairs of full engines, direct and through the chain
                       d  the same with pictures
                       e  one engine killed under streams (of three or more, another one frozen)
  --engine NAME      vllm, or the simulator at the pace of one H100, to test this script (default vllm)
  --limit-s N        time limit: a step that would exceed it does not start (default 3600)
  --pairs N          text runs (default 3)     --picture-pairs N  (default 1)
  --window-s N       measured time of a run (default 20), after a ramp of --ramp-s N (default 9)
  --streams N        text streams per engine (default 256)    --picture-streams N  (default 32)
  --tokens N         tokens of a text answer (default 256)    --picture-size WxH  (default 1344x1008)
  --clients N        client processes (default 2 per engine)  --gateways N  (default 1 for one GPU, else 2)
  --model DIR        folder of the model, created if missing (default in the temporary folder)
  --sku NAME         Azure size of the plan (default Standard_NC48ads_A100_v4); missing parts don’t stop the run
  --start-s N        start timeout of the engines (default 300)`;

const text = /** @type {const} */ ({ type: 'string' });
const { values } = parseArgs({
  options: {
    out: text,
    stages: text,
    model: text,
    clients: text,
    gateways: text,
    help: { type: 'boolean', default: false },
    engine: { ...text, default: 'vllm' },
    'limit-s': { ...text, default: '3600' },
    pairs: { ...text, default: '3' },
    'picture-pairs': { ...text, default: '1' },
    'window-s': { ...text, default: '20' },
    'ramp-s': { ...text, default: '9' },
    streams: { ...text, default: '256' },
    'picture-streams': { ...text, default: '32' },
    'picture-size': { ...text, default: '1344x1008' },
    tokens: { ...text, default: '256' },
    sku: { ...text, default: 'Standard_NC48ads_A100_v4' },
    'start-s': { ...text, default: '300' },
  },
});
const beganAt = performance.now();
const elapsed = () => (performance.now() - beganAt) / 1_000;
const say = (/** @type {string} */ line) =>
  void process.stdout.write(`${elapsed().toFixed(0).padStart(5)} s  ${line}\n`);

if (values.help || values.out === undefined) {
  process.stdout.write(`${HELP}\n`);
  process.exitCode = values.help ? 0 : 2;
} else await main(resolve(values.out));

/** @param {string} out */
async function main(out) {
  process.chdir(ROOT);
  mkdirSync(out, { recursive: true });
  const engine = values.engine === 'simulator' ? 'simulator' : 'vllm';
  const stages = readStages(values.stages ?? defaultStages());
  const most = Math.max(...stages.map(({ gpus }) => gpus));
  const model = resolve(values.model ?? join(tmpdir(), 'phi3v-true-size'));
  if (engine === 'vllm') makeModel(model);
  /** @type {Record<string, string>} */
  const workerEnv =
    engine === 'vllm'
      ? {
          WORKER_WEIGHTS: model,
          WORKER_ENGINE_ARGS: '--load-format dummy',
          WORKER_SKU: values.sku,
          WORKER_OVERRIDE_SKU: 'true',
        }
      : { PENSTOCK_SIM_PROFILE: 'h100' };
  const machine = describeMachine(engine);
  /** @type {import('./results.mjs').Results} */
  const results = { machine, preflight: engine === 'vllm' ? preflight(workerEnv) : 'not for a simulator', stages: [] };
  for (const line of results.preflight.split('\n')) say(line);
  const gateways = Number(values.gateways ?? (most === 1 ? 1 : 2));
  const stack = await Stack.start({ engine, gateways, workerEnv, out });
  const clients = await Clients.start(Number(values.clients ?? 2 * most));
  say(`${gateways} gateways and ${clients.pids.length} clients are up`);
  try {
    for (const { gpus, phases } of stages) {
      /** @type {import('./results.mjs').Stage} */
      const stage = { gpus, text: [], pictures: [], notes: [] };
      results.stages.push(stage);
      await runStage(stage, phases, { stack, clients }, () => keep(out, results)).catch(
        (/** @type {unknown} */ error) => {
          const reason = error instanceof Error ? error.message : String(error);
          say(`FAILED with ${gpus} GPUs: ${reason}`);
          stage.notes.push(reason.split('\n')[0] ?? '');
          process.exitCode = 1;
        },
      );
      keep(out, results);
      await stack.keepLogs(`${gpus}-gpus`);
    }
  } finally {
    clients.stop();
    await stack.stop();
  }
  say(`done: ${join(out, 'gpu-results.md')}`);
}

/**
 * @param {import('./results.mjs').Stage} stage @param {string} phases
 * @param {{ stack: Stack, clients: Clients }} parts @param {() => void} flush
 */
async function runStage(stage, phases, { stack, clients }, flush) {
  const [windowMs, rampMs] = [1_000 * Number(values['window-s']), 1_000 * Number(values['ramp-s'])];
  const [width = 1344, height = 1008] = values['picture-size'].split('x').map(Number);
  const sizes = {
    streams: Number(values.streams),
    pictureStreams: Number(values['picture-streams']),
    tokens: Number(values.tokens),
  };
  const name = 'Phi-3-vision-128k-instruct';
  /** @type {import('./measure.mjs').Bench} */
  const bench = { stack, clients, model: name, windowMs, rampMs, ...sizes, pictureSize: [width, height], say };
  const runSeconds = (windowMs + rampMs) / 1_000 + 2;
  /** Whether enough time is left for a step. @param {string} what @param {number} seconds */
  const begins = (what, seconds) => {
    const left = Number(values['limit-s']) - elapsed();
    if (left > seconds) return true;
    stage.notes.push(`${what}: ${seconds.toFixed(0)} s are needed, ${left.toFixed(0)} s were left`);
    return false;
  };

  say(`starting ${stage.gpus} engines …`);
  if (!begins('anything', 60)) return;
  stage.readySeconds = Object.fromEntries(await stack.launch(stage.gpus, 1_000 * Number(values['start-s']), say));
  await stack.seen(stage.gpus);
  say(`ready: ${JSON.stringify(stage.readySeconds)}`);
  flush();
  if (phases.includes('b') && begins('one picture', 10)) {
    stage.onePicture = await onePicture(bench);
    for (const { path, status, ms, answer } of stage.onePicture)
      say(`${path} ${status} in ${ms} ms: ${answer.slice(0, 120)}`);
    flush();
  }
  if (phases.includes('c') && begins('warming up, and one stream alone', 15)) {
    await measureLoad({ ...bench, windowMs: 2_000, rampMs: 3_000 }, 'direct', { seed: 1, pictures: false });
    stage.alone = await measureAlone(bench, 30);
    say(`alone: ${JSON.stringify(stage.alone)}`);
    flush();
  }
  for (const pictures of [false, true]) {
    const pairs = phases.includes(pictures ? 'd' : 'c') ? Number(values[pictures ? 'picture-pairs' : 'pairs']) : 0;
    for (let pair = 0; pair < pairs; pair += 1) {
      const what = `pair ${pair + 1} of ${pictures ? 'pictures' : 'text'}`;
      if (!begins(what, 2 * runSeconds)) break;
      /** @type {import('./measure.mjs').Way[]} */
      const order = pair % 2 === 0 ? ['direct', 'chain'] : ['chain', 'direct'];
      for (const way of order) {
        const run = await measureLoad(bench, way, {
          seed: (pair + 2) * 10_000_000 + (pictures ? 5_000_000 : 0),
          pictures,
        });
        (pictures ? stage.pictures : stage.text).push(run);
        const { tokensPerSecond, requestsPerSecond, ttft, failed, failures } = run;
        say(
          `${what}, ${way}: ${tokensPerSecond.toFixed(0)} tokens/s, ${requestsPerSecond.toFixed(1)} requests/s, TTFT p50 ${ttft.p50.toFixed(0)} ms, ${failed} failed ${failures.join(' | ')}`,
        );
        flush();
      }
    }
  }
  if (phases.includes('e') && stage.gpus > 1 && begins('lost engines', 60)) {
    const left = 1_000 * (Number(values['limit-s']) - elapsed());
    stage.loss = await loseEngines(bench, {
      streams: 100,
      tokens: 1_024,
      afterMs: 4_000,
      limitMs: Math.min(90_000, left / 2),
    });
    say(`lost engines: ${JSON.stringify(stage.loss)}`);
    flush();
  }
}

/** @param {Record<string, string>} workerEnv */
function preflight(workerEnv) {
  const args = ['deploy/local/penstock.mjs', 'preflight', '--override-sku'];
  return execFileSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...workerEnv } });
}

function defaultStages() {
  if (values.engine === 'simulator') return '1:abcd,2:abcde';
  const listed = execFileSync('nvidia-smi', ['--list-gpus'], { encoding: 'utf8' });
  const all = listed.trim().split('\n').length;
  return all === 1 ? '1:abcd' : `1:abcd,${all}:abcde`;
}

/** @param {string} list */
function readStages(list) {
  return list.split(',').map((item) => {
    const [count = '', phases = ''] = item.split(':');
    if (!/^\d+$/.test(count) || !/^[a-e]+$/.test(phases)) throw new Error(`--stages: ${item} is not like 2:abcde`);
    return { gpus: Number(count), phases };
  });
}
