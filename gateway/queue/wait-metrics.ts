import { Histogram, type Registry } from 'prom-client';

/** Histograms of the wait in the queue: the real one, and the one that the gateway expected and told its callers. */
export function waitMetrics(registers: Registry[], buckets: number[]) {
  const labelNames = ['kind'] as const;
  return {
    real: new Histogram({
      name: 'penstock_queue_wait_seconds',
      help: 'from the queue to a dispatcher',
      labelNames,
      buckets,
      registers,
    }),
    told: new Histogram({
      name: 'penstock_queue_told_wait_seconds',
      help: 'the same wait as it was expected when the request entered the queue',
      labelNames,
      buckets,
      registers,
    }),
  };
}
