import type { Check } from './checks.ts';
import type { Preflight } from './preflight.ts';

/** Renders a preflight for people: the table, the plan with its arithmetic, the verdict. @param redis empty: not checked */
export function renderPreflight(result: Preflight, redis: readonly Check[] = []): string {
  const { checks, warnings, weights, placement, shape } = result;
  const rowOf = ({ what, wanted, found, passes }: Check): string[] => [
    passes ? 'ok' : 'MISSING',
    what,
    found,
    `needs ${wanted}`,
  ];
  const rows = checks.map(rowOf);
  if (weights !== null) {
    const where = weights.folder ?? 'will be downloaded from the hub';
    const found = weights.problem ?? (weights.dummy ? 'random, no files needed' : where);
    const size = weights.size_gib > 0 ? `${weights.size_gib.toFixed(2)} GiB` : '';
    rows.push([weights.problem === null ? 'ok' : 'MISSING', 'weights', `${weights.name}: ${found}`, size]);
  }
  return [
    `Preflight of ${result.model}`,
    '',
    ...table([...rows, ...redis.map(rowOf)]),
    ...warnings.map((warning) => `  WARNING ${warning}`),
    '',
    'Plan',
    ...planLines(placement, shape).map((line) => `  ${line}`),
    ...placement.problems.map((problem) => `  PROBLEM ${problem}`),
    '',
    ...(result.passes
      ? ['This machine passes.']
      : [
          'This machine does not pass. To start anyway: --override-sku or WORKER_OVERRIDE_SKU=true.',
          'Only vLLM needs the missing parts. The simulator runs without them: penstock up --engine simulator (npm start without a GPU).',
        ]),
    ...(redis.every(({ passes }) => passes) ? [] : ['Redis does not pass: deploy/README.md lists the requirements.']),
  ].join('\n');
}

function planLines(placement: Preflight['placement'], shape: Preflight['shape']): string[] {
  const { engines, memory, tensor_parallel: parallel, max_in_flight: slots } = placement;
  const lines = [
    `${engines.length} ${engines.length === 1 ? 'replica' : 'replicas'}, tensor parallel ${parallel}, --max-model-len ${placement.max_model_len}, --gpu-memory-utilization ${placement.gpu_memory_utilization}`,
    `each: ${slots.text} text and ${slots.image} image requests at a time, ${placement.cpus_per_engine} CPUs`,
  ];
  if (memory === null) lines.push('memory: not computed, because there is no GPU or the shape of the model is unknown');
  else {
    lines.push(
      `memory of one GPU, GiB: ${memory.usable_gib} usable of ${memory.gpu_gib} - ${memory.weights_gib} weights (${shape?.source ?? ''}) - ${memory.working_gib} working = ${memory.kv_gib} for the KV cache`,
      `KV cache of one engine: ${memory.kv_gib} GiB x ${parallel} GPU / ${memory.kv_bytes_per_token} bytes a token = ${memory.kv_tokens} tokens = ${memory.contexts} full contexts`,
    );
  }
  for (const { id, gpus, port } of engines)
    lines.push(
      `${id}: ${gpus.length === 0 ? 'no GPU' : gpus.join(', ')}, ${port === null ? 'unix socket' : `port ${port}`}`,
    );
  return lines;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const width = (column: number): number => Math.max(0, ...rows.map((row) => (row[column] ?? '').length));
  const widths = [width(0), width(1), Math.min(width(2), 60)];
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}
