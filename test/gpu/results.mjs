// @ts-check
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { median } from './load.mjs';

/**
 * @typedef {import('./measure.mjs').Measured} Measured
 * @typedef {object} Stage the measurements with one number of GPUs
 * @property {number} gpus
 * @property {Record<string, number>} [readySeconds] by engine
 * @property {Awaited<ReturnType<typeof import('./measure.mjs').onePicture>>} [onePicture]
 * @property {Awaited<ReturnType<typeof import('./measure.mjs').measureAlone>>} [alone]
 * @property {Measured[]} text
 * @property {Measured[]} pictures
 * @property {Awaited<ReturnType<typeof import('./measure.mjs').loseEngines>>} [loss]
 * @property {string[]} notes skipped steps, and why
 *
 * @typedef {object} Results
 * @property {Record<string, string>} machine
 * @property {string} preflight
 * @property {Stage[]} stages
 */

/** Facts of this machine, for a comparison of figures. @param {'vllm' | 'simulator'} engine @returns {Record<string, string>} */
export function describeMachine(engine) {
  const model = /model name\s*: (.+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
  return {
    GPUs: ask('nvidia-smi', ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader']),
    CPU: `${cpus().length} x ${model}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    engine: engine === 'vllm' ? `vLLM ${ask('vllm', ['--version'])}` : 'the simulator, paced like one H100',
    node: process.version,
    redis: / v=(\S+)/.exec(ask('redis-server', ['--version']))?.[1] ?? 'unknown',
    date: new Date().toISOString().slice(0, 10),
  };
}

/** @param {string} file @param {string[]} args */
function ask(file, args) {
  try {
    return execFileSync(file, args, { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .replaceAll('\n', '; ');
  } catch {
    return 'none';
  }
}

/** Writes the results so far. @param {string} folder @param {Results} results */
export function keep(folder, results) {
  writeFileSync(join(folder, 'gpu-results.json'), JSON.stringify(results, null, 1));
  writeFileSync(join(folder, 'gpu-results.md'), render(results));
}

/** @param {Results} results */
function render({ machine, preflight, stages }) {
  const lines = ['# The whole chain against vLLM alone', ''];
  lines.push(...table(['machine', ''], Object.entries(machine)), '');
  for (const stage of stages) lines.push(...renderStage(stage), '');
  const [one, ...more] = stages.filter(({ text }) => text.some(({ way }) => way === 'chain'));
  for (const many of more) {
    if (one?.gpus !== 1) continue;
    const gain = middle(many.text, 'chain', 'tokensPerSecond') / middle(one.text, 'chain', 'tokensPerSecond');
    lines.push(`${many.gpus} GPUs carry ${gain.toFixed(2)} times the tokens of one, through the chain.`, '');
  }
  lines.push('## Preflight', '', '```text', preflight.trim(), '```', '');
  return lines.join('\n');
}

/** @param {Stage} stage */
function renderStage(stage) {
  const lines = [`## ${stage.gpus} ${stage.gpus === 1 ? 'engine' : 'engines'}`, ''];
  const ready = Object.entries(stage.readySeconds ?? {}).map(([id, seconds]) => [id, seconds.toFixed(0)]);
  if (ready.length > 0) lines.push(...table(['engine', 'seconds to ready'], ready), '');
  for (const { path, status, ms } of stage.onePicture ?? [])
    lines.push(`A picture to ${path}: ${status} after ${ms} ms.`, '');
  if (stage.alone !== undefined) {
    const { direct, chain } = stage.alone;
    const more = (chain.p50 - direct.p50).toFixed(1);
    lines.push(
      `First token of a stream alone, p50: ${direct.p50.toFixed(1)} ms direct, ${chain.p50.toFixed(1)} ms through the chain (+${more}).`,
      '',
    );
  }
  for (const [what, runs] of /** @type {const} */ ([
    ['text', stage.text],
    ['pictures', stage.pictures],
  ])) {
    if (runs.length === 0) continue;
    lines.push(
      `### ${what}: ${runs[0]?.streams} streams, in the order measured`,
      '',
      ...table(HEAD, runs.map(row)),
      '',
    );
    const unit = what === 'text' ? 'tokensPerSecond' : 'requestsPerSecond';
    const share = (100 * middle(runs, 'chain', unit)) / middle(runs, 'direct', unit);
    const first = (/** @type {'direct' | 'chain'} */ way) =>
      median(runs.filter((run) => run.way === way).map(({ ttft }) => ttft.p50));
    const later = 100 * (first('chain') / first('direct') - 1);
    lines.push(
      `Medians: the chain carries ${share.toFixed(1)} % of direct; its first token (p50) comes ${later.toFixed(1)} % later.`,
      '',
    );
    lines.push(...renderCpu(runs.filter(({ way }) => way === 'chain')), '');
  }
  if (stage.loss !== undefined) {
    const { fault, streams, whole, lost, asked, shortest, longest, longestGapMs, backSeconds } = stage.loss;
    const rows = [
      ['streams', `${streams} of ${asked} tokens`],
      ['complete', String(whole)],
      ['lost', String(lost)],
      ['tokens of an answer, by usage', `${shortest} to ${longest}`],
      ['longest silence, ms', String(Math.round(longestGapMs))],
      ['seconds until all engines were ready again', String(backSeconds ?? 'more than the limit')],
    ];
    lines.push(...table(['lost engines', fault], rows), '');
  }
  lines.push(...stage.notes.map((note) => `Not measured: ${note}`));
  return lines;
}

const HEAD = ['way', 'tokens/s', 'requests/s', 'chunks/s', 'XADD/s', 'TTFT p50 ms', 'p90', 'p99', 'failed'];

/** @param {Measured} run */
function row({ way, tokensPerSecond, requestsPerSecond, chunksPerSecond, xaddsPerSecond, ttft, failed }) {
  const rates = [
    tokensPerSecond.toFixed(0),
    requestsPerSecond.toFixed(1),
    chunksPerSecond.toFixed(0),
    xaddsPerSecond.toFixed(0),
  ];
  return [way, ...rates, ttft.p50.toFixed(0), ttft.p90.toFixed(0), ttft.p99.toFixed(0), String(failed)];
}

/** @param {readonly Measured[]} runs */
function renderCpu(runs) {
  const parts = Object.keys(runs[0]?.cpuSeconds ?? {});
  const rows = parts.map((part) => {
    const cores = median(runs.map(({ cpuSeconds, seconds }) => (cpuSeconds[part] ?? 0) / seconds));
    const aChunk = median(
      runs.map(
        ({ cpuSeconds, seconds, chunksPerSecond }) => (1e6 * (cpuSeconds[part] ?? 0)) / (chunksPerSecond * seconds),
      ),
    );
    return [part, cores.toFixed(2), aChunk.toFixed(1)];
  });
  return table(['process, through the chain', 'cores', 'CPU µs a chunk'], rows);
}

/** @param {readonly Measured[]} runs @param {'direct' | 'chain'} way @param {'tokensPerSecond' | 'requestsPerSecond'} what */
function middle(runs, way, what) {
  return median(runs.filter((run) => run.way === way).map((run) => run[what]));
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
