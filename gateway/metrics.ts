import type { AnswerState } from '#contract/answer-log';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { KINDS, type Kind } from '#contract/job';
import { droppedLogLines } from '#runtime/log';
import { ADMISSION_OUTCOMES } from './queue/outcome.ts';
import { DELIVERY_OUTCOMES, type DeliveryOutcome } from './webhooks/deliveries.ts';
import { UNCHECKED_REASONS, type Direction, type UncheckedReason } from './safety/provider.ts';
import type { CheckOutcome } from './safety/content-safety.ts';
import type { Outlook } from './queue/queue-outlook.ts';
import { generationMetrics } from './generation-metrics.ts';
import { waitMetrics } from './queue/wait-metrics.ts';
import { callerLabels } from './usage/caller-labels.ts';

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** Values that are read at the moment of a scrape. */
export interface Sources {
  readonly models: readonly string[];
  readonly depth: (model: string, kind: Kind) => Promise<number>;
  readonly outlook: (model: string, kind: Kind) => Promise<Outlook>;
  readonly lagMs: () => number;
  readonly auditLinesLost: () => number;
  /** whether there are metrics by key */
  readonly byKey?: boolean;
  /** whether there are the newest names of the GenAI conventions too */
  readonly isNewest?: boolean;
}

/** Every metric of the gateway. */
export function createMetrics(registry: Registry, sources: Sources) {
  const registers = [registry];
  new Gauge({
    name: 'penstock_queue_depth',
    help: 'jobs that no dispatcher has taken',
    labelNames: ['model', 'kind'] as const,
    registers,
    async collect() {
      for (const model of sources.models)
        for (const kind of KINDS) this.set({ model, kind }, await sources.depth(model, kind).catch(() => Number.NaN));
    },
  });
  const ofQueue = (
    text: { readonly name: string; readonly help: string },
    read: (of: Outlook) => number | null,
  ): void => {
    new Gauge({
      ...text,
      labelNames: ['model', 'kind'] as const,
      registers,
      async collect() {
        // What is unknown has no sample, because a NaN would make every sum one.
        this.reset();
        for (const model of sources.models)
          for (const kind of KINDS) {
            const outlook = await sources.outlook(model, kind).catch(() => undefined);
            const value = outlook && read(outlook);
            if (value !== null && value !== undefined) this.set({ model, kind }, value);
          }
      },
    });
  };
  ofQueue(
    { name: 'penstock_queue_expected_wait_seconds', help: 'expected wait of the last request in a queue' },
    ({ expectedWaitMs }) => expectedWaitMs && expectedWaitMs / 1_000,
  );
  ofQueue(
    {
      name: 'penstock_queue_drain_requests_per_second',
      help: 'requests that engines took a second, measured while some waited',
    },
    ({ requestsPerSecond }) => requestsPerSecond,
  );
  ofQueue(
    { name: 'penstock_queue_bookings', help: 'places that refused requests have for their next try' },
    ({ bookings }) => bookings,
  );
  new Gauge({
    name: 'penstock_reply_lag_seconds',
    help: 'delay with which this replica reads its replies',
    registers,
    collect() {
      this.set(sources.lagMs() / 1_000);
    },
  });
  new Gauge({
    name: 'penstock_log_lines_dropped',
    help: 'log lines that could not be written',
    registers,
    collect() {
      this.set(droppedLogLines());
    },
  });
  new Gauge({
    name: 'penstock_audit_lines_lost',
    help: 'audit lines that could not be written',
    registers,
    collect() {
      this.set(sources.auditLinesLost());
    },
  });
  const admission = new Counter({
    name: 'penstock_admission_total',
    help: 'outcomes of admission',
    labelNames: ['outcome'] as const,
    registers,
  });
  // Starts at zero: a series that begins with its first event has no rate for it.
  for (const outcome of ADMISSION_OUTCOMES) admission.inc({ outcome }, 0);
  const webhooks = new Counter({
    name: 'penstock_webhooks_total',
    help: 'deliveries of webhook events by this gateway, by their outcome',
    labelNames: ['outcome'] as const,
    registers,
  });
  for (const outcome of DELIVERY_OUTCOMES) webhooks.inc({ outcome }, 0);
  return {
    admission,
    webhooks,
    webhooksWaiting: new Gauge({
      name: 'penstock_webhooks_waiting',
      help: 'webhook events of all gateways that are not delivered yet, counted every 15 seconds',
      registers,
    }),
    /** value of the label `key` */
    labelOf: callerLabels(),
    /** only if the operator allows ids of keys as labels */
    byKey: sources.byKey === true ? metricsByKey(registers) : undefined,
    generation: generationMetrics(registers, sources.isNewest === true),
    inFlight: new Gauge({
      name: 'penstock_requests_in_flight',
      help: 'requests that have arrived and have not ended',
      labelNames: ['dialect'] as const,
      registers,
    }),
    queueWait: waitMetrics(registers, SECONDS),
    jobsAdded: new Counter({ name: 'penstock_jobs_added_total', help: 'jobs added to a queue', registers }),
    repeats: new Counter({
      name: 'penstock_repeats_total',
      help: 'requests that were repeated after their engine or worker was lost',
      registers,
    }),
    engineDeaths: new Counter({
      name: 'penstock_engine_deaths_total',
      help: 'requests whose engine died while it ran them, by the key that sent them',
      labelNames: ['key'] as const,
      registers,
    }),
    quarantined: new Counter({
      name: 'penstock_quarantined_total',
      help: 'requests that are refused for 10 minutes because engines died while they ran them',
      registers,
    }),
    continuations: new Counter({
      name: 'penstock_continuations_total',
      help: 'streams whose engine was lost after bytes were sent, by how they continued',
      labelNames: ['outcome'] as const,
      registers,
    }),
    keptAnswers: new Counter({
      name: 'penstock_kept_answers_total',
      help: 'kept answers that are over, by their final state',
      labelNames: ['state'] as const,
      registers,
    }),
    adoptions: new Counter({
      name: 'penstock_adoptions_total',
      help: 'kept answers of gateways that were gone, with which this gateway went on',
      registers,
    }),
    safety: safetyMetrics(registers),
    refusals: new Counter({
      name: 'penstock_refusals_total',
      help: 'requests refused before the queue, by the code of the failure',
      labelNames: ['rule'] as const,
      registers,
    }),
  };
}

function safetyMetrics(registers: Registry[]) {
  const unchecked = new Counter({
    name: 'penstock_safety_unchecked_total',
    help: 'prompts and answers that the content filter did not judge, by the reason',
    labelNames: ['direction', 'reason'] as const,
    registers,
  });
  for (const direction of ['prompt', 'answer'] as const)
    for (const reason of UNCHECKED_REASONS) unchecked.inc({ direction, reason }, 0);
  return {
    unchecked,
    checks: new Histogram({
      name: 'penstock_safety_check_seconds',
      help: 'time of the checks of prompts and answers, by what came of them',
      labelNames: ['direction', 'outcome'] as const,
      buckets: SECONDS,
      registers,
    }),
  };
}

function metricsByKey(registers: Registry[]) {
  const labelNames = ['key', 'gen_ai_request_model'] as const;
  return {
    requests: new Counter({
      name: 'penstock_key_requests_total',
      help: 'requests that a dispatcher took, by key',
      labelNames,
      registers,
    }),
    tokens: new Counter({
      name: 'penstock_key_tokens_total',
      help: 'tokens of complete answers, as the engine counts them, by key',
      labelNames: [...labelNames, 'gen_ai_token_type'] as const,
      registers,
    }),
    refusals: new Counter({
      name: 'penstock_key_refusals_total',
      help: 'requests that failed before a dispatcher took them, by key',
      labelNames,
      registers,
    }),
  };
}
export type Metrics = ReturnType<typeof createMetrics>;

/** Counts what happens to kept answers and their webhook events. */
export function keptCounts(metrics: Metrics) {
  return {
    onContinued: (outcome: string) => metrics.continuations.inc({ outcome }),
    onEnd: (state: AnswerState) => metrics.keptAnswers.inc({ state }),
    onAdopted: () => metrics.adoptions.inc(),
    onDelivery: (outcome: DeliveryOutcome) => metrics.webhooks.inc({ outcome }),
    onWaiting: (events: number) => metrics.webhooksWaiting.set(events),
  };
}

/** Counts what happens to the attempts of requests. */
export function attemptCounts(metrics: Metrics) {
  return {
    onEvicted: () => metrics.admission.inc({ outcome: 'evicted_no_engine' }),
    onRepeat: () => metrics.repeats.inc(),
  };
}

/** Counts requests whose engines died: each by its key, and those that are refused for it. */
export function suspectCounts(metrics: Metrics) {
  return [
    (key: string) => metrics.engineDeaths.inc({ key: metrics.labelOf(key) }),
    () => metrics.quarantined.inc(),
  ] as const;
}

/** Counts what the content filter does. */
export function safetyCounts({ safety }: Pick<Metrics, 'safety'>) {
  return {
    onCheck: (direction: Direction, outcome: CheckOutcome, seconds: number) =>
      safety.checks.observe({ direction, outcome }, seconds),
    onUnchecked: (direction: Direction, reason: UncheckedReason) => safety.unchecked.inc({ direction, reason }),
  };
}

/** How often each outcome of admission came, since the start of this replica. */
export async function admissionCounts({ admission }: Pick<Metrics, 'admission'>): Promise<Record<string, number>> {
  const { values } = await admission.get();
  const counts: Record<string, number> = {};
  for (const { labels, value } of values) counts[String(labels.outcome)] = value;
  return counts;
}
