import type { MetricsPage } from './prometheus.ts';

export type HttpMetrics = ReturnType<typeof createHttpMetrics>;

const FINE_BOUNDS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60,
];
/** vLLM does not count these either */
const UNCOUNTED = new Set(['/metrics', '/health', '/load', '/ping', '/version']);

/** The part of the page that counts HTTP requests, by route (`none` for unknown paths). */
export function createHttpMetrics(page: MetricsPage) {
  const requests = page.counters('http_requests_total', 'Total number of requests by method, status and handler.');
  const requestSize = page.summaries(
    'http_request_size_bytes',
    'Content length of incoming requests by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ',
  );
  const responseSize = page.summaries(
    'http_response_size_bytes',
    'Content length of outgoing responses by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ',
  );
  const fine = page.histogram(
    'http_request_duration_highr_seconds',
    'Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ',
    FINE_BOUNDS,
    {},
  );
  const coarse = page.histograms(
    'http_request_duration_seconds',
    'Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ',
    [0.1, 0.5, 1],
  );

  return {
    /** @param handler the route, or `none` */
    answered(
      handler: string,
      method: string,
      status: number,
      requestBytes: number,
      responseBytes: number,
      ms: number,
    ): void {
      if (UNCOUNTED.has(handler)) return;
      requests({ handler, method, status: `${Math.floor(status / 100)}xx` }).add();
      requestSize({ handler }).observe(requestBytes);
      responseSize({ handler }).observe(responseBytes);
      fine.observe(ms / 1000);
      coarse({ handler, method }).observe(ms / 1000);
    },
  };
}

/** Process metrics of Python's client library, with the values of this process. */
export function createProcessMetrics(page: MetricsPage): void {
  for (const [name, help] of [
    ['objects_collected', 'Objects collected during gc'],
    ['objects_uncollectable', 'Uncollectable objects found during GC'],
    ['collections', 'Number of times this generation was collected'],
  ] as const) {
    const generation = page.counters(`python_gc_${name}_total`, help);
    for (const each of ['0', '1', '2']) generation({ generation: each });
  }
  const python = { implementation: 'CPython', major: '3', minor: '11', patchlevel: '7', version: '3.11.7' };
  page.gauge('python_info', 'Python platform information', python, () => 1);
  page.gauge(
    'process_virtual_memory_bytes',
    'Virtual memory size in bytes.',
    {},
    () => process.memoryUsage().heapTotal,
  );
  page.gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', {}, () => process.memoryUsage.rss());
  const startedAt = Date.now() / 1000 - process.uptime();
  page.gauge(
    'process_start_time_seconds',
    'Start time of the process since unix epoch in seconds.',
    {},
    () => startedAt,
  );
  const cpu = page.counter('process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.', {});
  page.gauge('process_open_fds', 'Number of open file descriptors.', {}, () => {
    const { user, system } = process.cpuUsage();
    cpu.value = (user + system) / 1e6;
    return 0;
  });
  page.gauge('process_max_fds', 'Maximum number of open file descriptors.', {}, () => 1024);
}
