import { z } from 'zod';
import { loadSettings, setting } from './settings.ts';

const protocol = z.literal('http/protobuf', { error: 'takes http/protobuf, the only form in which traces are sent' });
const collector = z.url({ protocol: /^https?$/, error: 'takes a URL such as http://collector:4318' });
const headers = z.string().regex(/^[^=,]+=[^,]*(,[^=,]+=[^,]*)*$/, 'takes name=value,name=value');
const ratio = z.coerce.number({ error: 'takes a number from 0 to 1' }).min(0).max(1);

/**
 * The environment variables of OpenTelemetry that count here; its SDK reads them itself. Others with the same prefix are
 * not unknown, because platforms set them for all programs.
 * Source: OpenTelemetry, Environment Variable Specification and OTLP Exporter Configuration.
 */
const Settings = z.object({
  /** URL of a collector that takes OTLP over HTTP; spans go to its path `/v1/traces`. Without it there are no traces */
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.optional(),
  /** the complete URL for spans, instead of the above */
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: collector.optional(),
  /** headers of each export, such as `authorization=Bearer%20…`; a secret */
  OTEL_EXPORTER_OTLP_HEADERS: headers.optional(),
  /** further ones for spans; a secret */
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: headers.optional(),
  /** form of the exports: `http/protobuf` */
  OTEL_EXPORTER_OTLP_PROTOCOL: protocol.optional(),
  /** the same for spans */
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: protocol.optional(),
  /** timeout of one export with its repeats; default 10,000 ms */
  OTEL_EXPORTER_OTLP_TIMEOUT: setting.milliseconds.optional(),
  /** the same for spans */
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: setting.milliseconds.optional(),
  /** PEM file of the certificate authorities that the collector's certificate comes from, instead of the system's */
  OTEL_EXPORTER_OTLP_CERTIFICATE: z.string().optional(),
  /** `none` turns traces off */
  OTEL_TRACES_EXPORTER: z.enum(['otlp', 'none']).optional(),
  /** `true` turns traces off */
  OTEL_SDK_DISABLED: setting.flag.optional(),
  /** which traces are recorded; default `parentbased_always_on`: all, except those whose caller says no */
  OTEL_TRACES_SAMPLER: z
    .enum([
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ])
    .optional(),
  /** share of the traces that the two samplers with a ratio record */
  OTEL_TRACES_SAMPLER_ARG: ratio.optional(),
  /** name of the service in its traces; default `penstock-gateway` or `penstock-dispatcher` */
  OTEL_SERVICE_NAME: z.string().max(255).optional(),
  /** further facts about the service, such as `deployment.environment.name=prod` */
  OTEL_RESOURCE_ATTRIBUTES: z.string().max(4_096).optional(),
  /** limit of spans that wait for their export; further ones are dropped. Default 2,048 */
  OTEL_BSP_MAX_QUEUE_SIZE: setting.countUpTo(100_000).optional(),
  /** limit of spans in one export; default 512 */
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: setting.countUpTo(10_000).optional(),
  /** longest wait of a span before its export; default 5,000 ms */
  OTEL_BSP_SCHEDULE_DELAY: setting.milliseconds.optional(),
});

/** Reads what counts where traces are on. @throws Error that names every bad variable */
export function loadTraceSettings(env: NodeJS.ProcessEnv): Readonly<z.infer<typeof Settings>> {
  const known = Object.keys(Settings.shape).map((name) => [name, env[name]?.trim()] as const);
  return loadSettings('OTEL_', Settings, Object.fromEntries(known));
}

/** Whether this process records traces. Where it does not, its variables may be meant for other programs. */
export function wantsTraces(env: NodeJS.ProcessEnv): boolean {
  const has = (name: string): boolean => (env[name] ?? '').trim() !== '';
  const isWanted =
    (has('OTEL_EXPORTER_OTLP_ENDPOINT') || has('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')) &&
    env['OTEL_TRACES_EXPORTER']?.trim() !== 'none' &&
    !/^\s*true\s*$/i.test(env['OTEL_SDK_DISABLED'] ?? '');
  if (!isWanted) return false;
  // The variable for spans counts, and the general one may be meant for others.
  const { OTEL_EXPORTER_OTLP_PROTOCOL: general, ...others } = env;
  loadTraceSettings(
    has('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ? others : { ...others, OTEL_EXPORTER_OTLP_PROTOCOL: general },
  );
  return true;
}
