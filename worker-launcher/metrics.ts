import { Counter, Gauge, type Registry } from 'prom-client';
import { ENGINE_STATES, type EngineReport } from '#contract/registry';
import { droppedLogLines } from '#runtime/log';
import { CRASH_REASONS, OUTLIER_REASONS, type CrashReason, type OutlierReason } from './engine/state.ts';
import type { Outlier } from './engine/outlier-case.ts';

export interface LauncherMetrics {
  countRestart(reason: CrashReason): void;
  countOutlier(reason: OutlierReason): void;
}

/**
 * Every metric of the launcher.
 * @param engines their state at the time of the scrape
 */
export function createMetrics(
  registry: Registry,
  engines: () => readonly (Pick<EngineReport, 'id' | 'state' | 'inFlight'> & {
    readonly lastCause: string | null;
    readonly outlier: Outlier | null;
  })[],
  auditLinesLost: () => number,
): LauncherMetrics {
  new Gauge({
    name: 'penstock_engine_state',
    help: '1 for the current state of an engine, 0 for the other states',
    labelNames: ['engine', 'state'] as const,
    registers: [registry],
    collect() {
      for (const { id, state } of engines())
        for (const known of ENGINE_STATES) this.set({ engine: id, state: known }, known === state ? 1 : 0);
    },
  });
  new Gauge({
    name: 'penstock_engine_in_flight',
    help: 'Requests that an engine works on',
    labelNames: ['engine', 'kind'] as const,
    registers: [registry],
    collect() {
      for (const { id, inFlight } of engines()) {
        this.set({ engine: id, kind: 'text' }, inFlight.text);
        this.set({ engine: id, kind: 'image' }, inFlight.image);
      }
    },
  });
  new Gauge({
    name: 'penstock_engine_out_of_service',
    help: '1 while an engine is stopped or waits for its next restart, by cause of the failure',
    labelNames: ['engine', 'cause'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { id, state, lastCause } of engines())
        if (lastCause !== null && (state === 'stopped' || state === 'backoff'))
          this.set({ engine: id, cause: lastCause }, 1);
    },
  });
  new Gauge({
    name: 'penstock_engine_outlier',
    help: '1 while an engine gets no requests because it does worse than its siblings, by reason: failing, mute, slow',
    labelNames: ['engine', 'reason'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { id, outlier } of engines())
        if (outlier !== null) this.set({ engine: id, reason: outlier.reason }, 1);
    },
  });
  new Gauge({
    name: 'penstock_log_lines_dropped',
    help: 'Log lines that the launcher could not write',
    registers: [registry],
    collect() {
      this.set(droppedLogLines());
    },
  });
  new Gauge({
    name: 'penstock_audit_lines_lost',
    help: 'Audit lines that the launcher could not write',
    registers: [registry],
    collect() {
      this.set(auditLinesLost());
    },
  });
  const restarts = new Counter({
    name: 'penstock_engine_restarts_total',
    help: 'Restarts of engine processes after an unexpected exit, by reason',
    labelNames: ['reason'] as const,
    registers: [registry],
  });
  const outliers = new Counter({
    name: 'penstock_engine_outliers_total',
    help: 'Times that an engine was taken out of dispatch because it did worse than its siblings, by reason: failing, mute, slow',
    labelNames: ['reason'] as const,
    registers: [registry],
  });
  // Each series starts at 0: Prometheus computes no rate for the first event of a new series.
  for (const reason of CRASH_REASONS) restarts.inc({ reason }, 0);
  for (const reason of OUTLIER_REASONS) outliers.inc({ reason }, 0);
  return {
    countRestart: (reason) => restarts.inc({ reason }),
    countOutlier: (reason) => outliers.inc({ reason }),
  };
}
