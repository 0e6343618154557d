import type { Labels, MetricsPage } from '../metrics/prometheus.ts';
import type { FinishReason } from './sequence.ts';
import type { Task } from './task.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';

/** Source of names, help texts and buckets: recorded pages of vLLM 0.32 and 0.33. */
const TOKEN_BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];
const STEP_BOUNDS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
const FIRST_TOKEN_BOUNDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const GAP_BOUNDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
const REQUEST_BOUNDS = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];

export interface AcceptedPrompt {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly pictures: number;
  readonly cachedPictures: number;
}

export type EngineMetrics = ReturnType<typeof createEngineMetrics>;

/** The engine's part of the page. The gauges show the last published values; in a hanging engine they stop. */
export function createEngineMetrics(
  page: MetricsPage,
  settings: Pick<SimulatorSettings, 'names' | 'kvTokens' | 'maxModelLength' | 'blockSize' | 'devMode'>,
) {
  const model: Labels = { model_name: settings.names[0] ?? '' };
  const labels: Labels = { ...model, engine: '0' };
  const published = { running: 0, waiting: 0, usage: 0 };

  for (const [what, help] of [
    ['flops', 'floating point operations per GPU (for Model Flops Utilization calculations)'],
    ['read_bytes', 'bytes read from memory per GPU (for Model Flops Utilization calculations)'],
    ['write_bytes', 'bytes written to memory per GPU (for Model Flops Utilization calculations)'],
  ] as const) {
    page.counter(`vllm:estimated_${what}_per_gpu_total`, `Estimated number of ${help}.`, labels);
  }
  page.gauge(
    'vllm:num_requests_running',
    'Number of requests in model execution batches.',
    labels,
    () => published.running,
  );
  page.gauge(
    'vllm:num_requests_waiting',
    'Number of requests waiting to be processed.',
    labels,
    () => published.waiting,
  );
  const byReason = page.counters(
    'vllm:num_requests_waiting_by_reason',
    "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.",
    'gauge',
  );
  const forCapacity = byReason({ ...labels, reason: 'capacity' });
  byReason({ ...labels, reason: 'deferred' });
  const sleep = page.counters(
    'vllm:engine_sleep_state',
    'Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.',
    'gauge',
  );
  const awake = sleep({ ...labels, sleep_state: 'awake' });
  awake.value = 1;
  for (const state of ['weights_offloaded', 'discard_all']) sleep({ ...labels, sleep_state: state });
  page.gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', labels, () => published.usage);

  const count = (name: string, help: string) => page.counter(`vllm:${name}_total`, help, labels);
  const prefixQueries = count('prefix_cache_queries', 'Prefix cache queries, in terms of number of queried tokens.');
  const prefixHits = count('prefix_cache_hits', 'Prefix cache hits, in terms of number of cached tokens.');
  count(
    'external_prefix_cache_queries',
    'External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.',
  );
  count(
    'external_prefix_cache_hits',
    'External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.',
  );
  const pictureQueries = count('mm_cache_queries', 'Multi-modal cache queries, in terms of number of queried items.');
  const pictureHits = count('mm_cache_hits', 'Multi-modal cache hits, in terms of number of cached items.');
  count('num_preemptions', 'Cumulative number of preemption from the engine.');
  const promptTokens = count('prompt_tokens', 'Number of prefill tokens processed.');
  const bySource = page.counters('vllm:prompt_tokens_by_source_total', 'Number of prompt tokens by source.');
  const computed = bySource({ ...labels, source: 'local_compute' });
  const fromCache = bySource({ ...labels, source: 'local_cache_hit' });
  bySource({ ...labels, source: 'external_kv_transfer' });
  const cachedTokens = count('prompt_tokens_cached', 'Number of cached prompt tokens (local + external).');
  const cachedBySource = page.counters(
    'vllm:prompt_tokens_cached_by_source_total',
    'Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.',
  );
  const onDevice = cachedBySource({ ...labels, source: 'device' });
  for (const source of ['host', 'p2p', 'disk', 'external_unspecified']) cachedBySource({ ...labels, source });
  const generatedTokens = count('generation_tokens', 'Number of generation tokens processed.');
  const finishedBy = page.counters('vllm:request_success_total', 'Count of successfully processed requests.');
  for (const reason of ['stop', 'length', 'abort', 'error', 'repetition']) {
    finishedBy({ ...labels, finished_reason: reason });
  }
  const rejectedBy = page.counters(
    'vllm:admission_rejections_total',
    'Number of admission attempts rejected by a queue limit, by reason.',
  );
  for (const reason of ['max_num_queued_reqs', 'max_num_queued_tokens']) rejectedBy({ ...model, reason });

  const histogram = (name: string, help: string, bounds: readonly number[]) =>
    page.histogram(`vllm:${name}`, help, bounds, labels);
  const seconds = (name: string, help: string) => histogram(name, `Histogram of ${help}.`, REQUEST_BOUNDS);
  const requestPrompt = histogram('request_prompt_tokens', 'Number of prefill tokens processed.', TOKEN_BOUNDS);
  const requestGenerated = histogram(
    'request_generation_tokens',
    'Number of generation tokens processed.',
    TOKEN_BOUNDS,
  );
  const steps = histogram('iteration_tokens_total', 'Histogram of number of tokens per engine_step.', STEP_BOUNDS);
  const mostGenerated = histogram(
    'request_max_num_generation_tokens',
    'Histogram of maximum number of requested generation tokens.',
    TOKEN_BOUNDS,
  );
  const paramsN = histogram('request_params_n', 'Histogram of the n request parameter.', [1, 2, 5, 10, 20]);
  const paramsMax = histogram(
    'request_params_max_tokens',
    'Histogram of the max_tokens request parameter.',
    TOKEN_BOUNDS,
  );
  const firstToken = histogram(
    'time_to_first_token_seconds',
    'Histogram of time to first token in seconds.',
    FIRST_TOKEN_BOUNDS,
  );
  const gaps = histogram('inter_token_latency_seconds', 'Histogram of inter-token latency in seconds.', GAP_BOUNDS);
  const perToken = histogram(
    'request_time_per_output_token_seconds',
    'Histogram of time_per_output_token_seconds per request.',
    GAP_BOUNDS,
  );
  const whole = seconds('e2e_request_latency_seconds', 'e2e request latency in seconds');
  const queued = seconds('request_queue_time_seconds', 'time spent in WAITING phase for request');
  const inference = seconds('request_inference_time_seconds', 'time spent in RUNNING phase for request');
  const prefill = seconds('request_prefill_time_seconds', 'time spent in PREFILL phase for request');
  const decode = seconds('request_decode_time_seconds', 'time spent in DECODE phase for request');
  const preemptions = histogram(
    'request_num_preemptions',
    'Histogram of the number of times a request was preempted.',
    [1, 2, 3, 4, 5, 10, 20],
  );
  const prefillComputed = histogram(
    'request_prefill_kv_computed_tokens',
    'Histogram of new KV tokens computed during prefill (excluding cached tokens).',
    TOKEN_BOUNDS,
  );
  const cacheInfo = {
    block_size: String(settings.blockSize),
    cache_dtype: 'auto',
    enable_prefix_caching: 'True',
    engine: '0',
    gpu_memory_utilization: '0.92',
    kv_cache_max_concurrency: String(settings.kvTokens / settings.maxModelLength),
    kv_cache_size_tokens: String(settings.kvTokens),
    num_gpu_blocks: String(Math.floor(settings.kvTokens / settings.blockSize)),
  };
  page.gauge('vllm:cache_config_info', 'Information of the LLMEngine CacheConfig', cacheInfo, () => 1);

  // Only development routes put an engine to sleep.
  const sleepTimes = settings.devMode
    ? page.histograms(
        'vllm:sleep_mode_operation_duration_seconds',
        'Duration of one sleep-mode operation.',
        [0.01, 0.1, 1, 10, 30, 60, 120, 300, 600],
      )
    : undefined;

  if (settings.devMode) {
    const inFlight = page.counters(
      'vllm:sleep_mode_operations_in_flight',
      'Sleep-mode operations currently awaited.',
      'gauge',
    );
    for (const operation of ['sleep', 'wake']) inFlight({ operation });
  }

  return {
    publish(running: number, waiting: number, usage: number): void {
      published.running = running;
      published.waiting = waiting;
      published.usage = usage;
      forCapacity.value = waiting;
    },
    sleep(asleep: boolean): void {
      awake.value = asleep ? 0 : 1;
      sleepTimes?.({ operation: asleep ? 'sleep' : 'wake' }).observe(0);
    },
    rejected(reason: 'max_num_queued_reqs' | 'max_num_queued_tokens'): void {
      rejectedBy({ ...model, reason }).add();
    },
    accepted(prompt: AcceptedPrompt): void {
      prefixQueries.add(prompt.promptTokens);
      prefixHits.add(prompt.cachedTokens);
      pictureQueries.add(prompt.pictures);
      pictureHits.add(prompt.cachedPictures);
      fromCache.add(prompt.cachedTokens);
      cachedTokens.add(prompt.cachedTokens);
      onDevice.add(prompt.cachedTokens);
      computed.add(prompt.promptTokens - prompt.cachedTokens);
      prefillComputed.observe(prompt.promptTokens - prompt.cachedTokens);
    },
    engineStep(tokens: number): void {
      steps.observe(tokens);
    },
    tokenGap(gapSeconds: number): void {
      gaps.observe(gapSeconds);
    },
    generated(task: Task, isFirst: boolean, now: number): void {
      generatedTokens.value += 1;
      if (!isFirst) return;
      promptTokens.add(task.promptTokens);
      firstToken.observe((now - task.arrivedAt) / 1000);
    },
    finished(task: Task, reason: FinishReason, now: number): void {
      const { produced } = task.sequence;
      finishedBy({ ...labels, finished_reason: reason }).add();
      requestPrompt.observe(task.promptTokens);
      requestGenerated.observe(produced);
      mostGenerated.observe(produced);
      paramsN.observe(1);
      paramsMax.observe(task.maxTokens);
      preemptions.observe(0);
      whole.observe((now - task.arrivedAt) / 1000);
      queued.observe((task.startedAt - task.arrivedAt) / 1000);
      inference.observe((now - task.startedAt) / 1000);
      prefill.observe((task.firstTokenAt - task.startedAt) / 1000);
      decode.observe((now - task.firstTokenAt) / 1000);
      if (produced > 1) perToken.observe((now - task.firstTokenAt) / 1000 / (produced - 1));
    },
  };
}
