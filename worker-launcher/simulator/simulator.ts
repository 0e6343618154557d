import { Engine } from './engine/engine.ts';
import { Faults } from './faults/faults.ts';
import { createHttpMetrics, createProcessMetrics, type HttpMetrics } from './metrics/http-metrics.ts';
import { createEngineMetrics } from './engine/metrics.ts';
import { createServedModel, type ServedModel } from './generate/served-model.ts';
import { MetricsPage } from './metrics/prometheus.ts';
import type { SimulatorSettings } from './command-line/settings.ts';
import { createTiming } from './engine/timing.ts';

/** The parts of one simulated server, as routes use them. */
export interface Simulator {
  readonly settings: SimulatorSettings;
  readonly model: ServedModel;
  readonly engine: Engine;
  readonly page: MetricsPage;
  readonly httpMetrics: HttpMetrics;
  readonly faults: Faults;
  /** requests that the API server is working on, for `/load` */
  readonly load: { count: number };
}

export function createSimulator(settings: SimulatorSettings): Simulator {
  const page = new MetricsPage();
  createProcessMetrics(page);
  const engine = new Engine(settings, createTiming(settings), createEngineMetrics(page, settings));
  return {
    settings,
    model: createServedModel(settings),
    engine,
    page,
    httpMetrics: createHttpMetrics(page),
    faults: new Faults(engine, settings.faults),
    load: { count: 0 },
  };
}
