/** What of an engine's own metrics the launcher shows on its page. Source: vLLM, the same names in 0.24 to 0.33. */
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

/** Line ends of a family: of its samples, which for a histogram carry a suffix. */
const SAMPLE = /^([\w:]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? (\S+)$/;

/**
 * The chosen families of all engines, each once, with our engine's name as label `engine`; vLLM's own label of that
 * name, the part of a data-parallel engine, becomes `engine_core`.
 * @param pages one for each engine that has one, as vLLM wrote it
 */
export function exportMetrics(pages: readonly { readonly engine: string; readonly page: string }[]): string {
  const heads = new Map<string, string[]>();
  const samples = new Map<string, string[]>();
  const wanted = new Set<string>(EXPORTED);
  for (const { engine, page } of pages) {
    for (const line of page.split('\n')) {
      if (line.startsWith('# ')) {
        const family = line.split(' ', 3)[2] ?? '';
        const told = heads.get(family) ?? [];
        // Each engine tells HELP and TYPE; once is enough.
        if (wanted.has(family) && told.length < 2 && !told.includes(line)) heads.set(family, [...told, line]);
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
