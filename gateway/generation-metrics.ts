import { Histogram, type Registry } from 'prom-client';
import { PROVIDER } from '#contract/operation';

/**
 * The boundaries of OpenTelemetry's GenAI conventions. Where requests wait in a queue, or engines are faster, some more
 * stand before or behind them: an alert on 20 s needs boundaries around it.
 */
const DURATION = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const LONG_DURATION = [...DURATION, 163.84, 327.68, 655.36];
const FIRST_TOKEN = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const LATE_FIRST_TOKEN = [...FIRST_TOKEN, 20, 30, 60, 120, 300, 600];
const PER_TOKEN = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const FAST_PER_TOKEN = [0.001, 0.0025, 0.005, ...PER_TOKEN];
/** 1 to 4^13 */
const TOKENS = Array.from({ length: 14 }, (_, power) => 4 ** power);

const OF_MODEL = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'] as const;

/** What a request is to the metrics. */
export interface Operation {
  /** `gen_ai.operation.name` */
  readonly operation: string;
  /** name of the card */
  readonly model: string;
}

function labelsOf({ operation, model }: Operation) {
  return { gen_ai_operation_name: operation, gen_ai_provider_name: PROVIDER, gen_ai_request_model: model };
}

/**
 * The metrics that OpenTelemetry's GenAI conventions name, in Prometheus spelling.
 * @param isNewest also those that its newest version names for a client; the gateway is one of its engines
 */
export function generationMetrics(registers: Registry[], isNewest: boolean) {
  const requests = new Histogram({
    name: 'gen_ai_server_request_duration_seconds',
    help: 'from arrival to the end of the answer',
    labelNames: [...OF_MODEL, 'dialect', 'status', 'error_type'] as const,
    buckets: LONG_DURATION,
    registers,
  });
  const firstToken = new Histogram({
    name: 'gen_ai_server_time_to_first_token_seconds',
    help: 'from arrival to the first bytes of the answer, streamed answers only',
    labelNames: OF_MODEL,
    buckets: LATE_FIRST_TOKEN,
    registers,
  });
  const perToken = new Histogram({
    name: 'gen_ai_server_time_per_output_token_seconds',
    help: 'mean time between tokens after the first, streamed answers only',
    labelNames: OF_MODEL,
    buckets: FAST_PER_TOKEN,
    registers,
  });
  const tokens = new Histogram({
    name: 'gen_ai_client_token_usage',
    help: 'tokens as the engine counts them',
    labelNames: [...OF_MODEL, 'gen_ai_token_type'] as const,
    buckets: TOKENS,
    registers,
  });
  const newest = isNewest ? newestMetrics(registers) : undefined;
  return {
    /** @param error code of its failure, if it has one */
    ended: (of: Operation & { readonly dialect: string; readonly status: string }, seconds: number, error?: string) => {
      const { operation, model, dialect, status } = of;
      // Prometheus reads an empty label as none. Written out, because copies of objects cost more than the observation.
      const failed = error ?? '';
      requests.observe(
        {
          gen_ai_operation_name: operation,
          gen_ai_provider_name: PROVIDER,
          gen_ai_request_model: model,
          dialect,
          status,
          error_type: failed,
        },
        seconds,
      );
      newest?.duration.observe({ ...labelsOf(of), error_type: failed }, seconds);
    },
    begun: (of: Operation, seconds: number) => {
      firstToken.observe(labelsOf(of), seconds);
      newest?.firstChunk.observe(labelsOf(of), seconds);
    },
    paced: (of: Operation, seconds: number) => {
      perToken.observe(labelsOf(of), seconds);
      newest?.perChunk.observe(labelsOf(of), seconds);
    },
    used: ({ operation, model }: Operation, type: 'input' | 'output', count: number) =>
      tokens.observe(
        {
          gen_ai_operation_name: operation,
          gen_ai_provider_name: PROVIDER,
          gen_ai_request_model: model,
          gen_ai_token_type: type,
        },
        count,
      ),
  };
}

function newestMetrics(registers: Registry[]) {
  return {
    duration: new Histogram({
      name: 'gen_ai_client_operation_duration_seconds',
      help: 'from arrival to the end of the answer, as a client of an engine sees it',
      labelNames: [...OF_MODEL, 'error_type'] as const,
      buckets: LONG_DURATION,
      registers,
    }),
    firstChunk: new Histogram({
      name: 'gen_ai_client_operation_time_to_first_chunk_seconds',
      help: 'from arrival to the first bytes of a streamed answer',
      labelNames: OF_MODEL,
      buckets: LATE_FIRST_TOKEN,
      registers,
    }),
    perChunk: new Histogram({
      name: 'gen_ai_client_operation_time_per_output_chunk_seconds',
      help: 'mean time between the tokens of a streamed answer',
      labelNames: OF_MODEL,
      buckets: FAST_PER_TOKEN,
      registers,
    }),
  };
}
