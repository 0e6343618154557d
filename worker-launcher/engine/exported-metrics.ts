/** The engine metrics that the launcher's page includes. Source: vLLM, the same names in 0.24 to 0.33. */
const EXPORTED = [
  'vllm:num_requests_running',
  'vllm:num_requests_waiting',
  'vllm:kv_cache_usage_perc',
  'vllm:cache_config_info',
  'vllm:prompt_tokens_total',
  'vllm:generation_tokens_total',
  'vllm:prefix_cache_queries_total',
  'vllm:prefix_cache_hits_total',
  'vllm:mm_cache_queries_total',
  'vllm:mm_cache_hits_total',
  'vllm:num_preemptions_total',
  'vllm:request_success_total',
  'vllm:time_to_first_token_seconds',
  'vllm:inter_token_latency_seconds',
  'vllm:request_queue_time_seconds',
  'vllm:request_prefill_time_seconds',
  'vllm:e2e_request_latency_seconds',
] as const;

/** One sample line; the samples of a histogram have a suffix. */
const SAMPLE = /^([\w:]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? (\S+)$/;

/**
 * The exported families of all engines, each once, with our engine's name as label `engine`. vLLM's own label `engine`,
 * the rank of a data-parallel engine, becomes `engine_core`.
 * @param pages vLLM's own page of each engine that has one
 */
export function exportMetrics(pages: readonly { readonly engine: string; readonly page: string }[]): string {
  const heads = new Map<string, string[]>();
  const samples = new Map<string, string[]>();
  const wanted = new Set<string>(EXPORTED);
  for (const { engine, page } of pages) {
    for (const line of page.split('\n')) {
      if (line.startsWith('# ')) {
        const family = line.split(' ', 3)[2] ?? '';
        const head = heads.get(family) ?? [];
        // Each engine repeats HELP and TYPE.
        if (wanted.has(family) && head.length < 2 && !head.includes(line)) heads.set(family, [...head, line]);
        continue;
      }
      const family = familyOf(line, wanted);
      if (family === undefined) continue;
      const list = samples.get(family) ?? [];
      list.push(relabelled(line, engine));
      samples.set(family, list);
    }
  }
  const lines = EXPORTED.flatMap((family) => [...(heads.get(family) ?? []), ...(samples.get(family) ?? [])]);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function familyOf(line: string, wanted: ReadonlySet<string>): string | undefined {
  if (!line.startsWith('vllm:')) return undefined;
  const name = line.slice(0, line.search(/[{ ]/));
  if (wanted.has(name)) return name;
  const family = SAMPLE.exec(line)?.[1];
  return family !== undefined && wanted.has(family) ? family : undefined;
}

function relabelled(line: string, engine: string): string {
  const at = line.indexOf('{');
  const own = `engine="${engine}"`;
  if (at < 0) return line.replace(' ', `{${own}} `);
  const renamed = line.slice(at + 1).replace(/(^|,)engine="/, '$1engine_core="');
  return `${line.slice(0, at)}{${own}${renamed.startsWith('}') ? '' : ','}${renamed}`;
}
