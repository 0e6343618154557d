import { Histogram, type Registry } from 'prom-client';

/** Histograms of the wait in the queue: the real one, the one that the gateway expected, and how far these differ. */
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
      help: 'the same wait as it was expected when the request entered the queue, where that was known',
      labelNames,
      buckets,
      registers,
    }),
    error: new Histogram({
      name: 'penstock_queue_wait_error_seconds',
      help: 'how far the real wait was from the told one, in either direction',
      labelNames,
      buckets,
      registers,
    }),
  };
}
