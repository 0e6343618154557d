import type * as OpenTelemetry from '@opentelemetry/api';
import type { Attributes, Span, SpanOptions, Tracer } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { Log } from './log.ts';
import { ownVersion } from './own-version.ts';

/** A span's trace and id, as the headers of W3C Trace Context. */
interface SpanPlace {
  readonly traceparent: string;
  readonly tracestate?: string;
}
export type SpanAttributes = Readonly<Record<string, string | number | readonly string[] | undefined>>;

interface SpanStart {
  readonly kind: 'server' | 'internal' | 'consumer' | 'client';
  /** absent: it begins a trace */
  readonly parent?: SpanPlace | undefined;
  /** the `traceparent` of a span that it follows */
  readonly follows?: string | undefined;
  /** clock of this process, ms; absent: now */
  readonly at?: number;
  readonly attributes?: SpanAttributes;
}

/** A span that is not over. Without a record it only hands its trace on. */
export interface OpenSpan extends SpanPlace {
  readonly isRecorded: boolean;
  set(attributes: SpanAttributes): void;
  /** @param at clock of this process, ms */
  event(name: string, at?: number): void;
  /**
   * Call it once.
   * @param error `error.type` of a span that failed
   * @param isFault the failure is this side's, so the status of the span is an error; absent: yes
   * @param at clock of this process, ms
   */
  end(error?: string, isFault?: boolean, at?: number): void;
}

export interface Tracing {
  start(name: string, start: SpanStart): OpenSpan;
  /** Sends the spans that wait. */
  close(): Promise<void>;
}

/** Who records. */
export interface TracedService {
  readonly name: string;
  /** name of this process among those of the service */
  readonly instance: string;
}

/** Failed exports, and warnings, are logged at most this often, in milliseconds. */
const SAID_EVERY_MS = 60_000;

/**
 * Records spans and exports them in batches. OpenTelemetry reads its own variables (`trace-settings.ts`). Its packages
 * are loaded here and nowhere else, so a process without traces pays nothing for them.
 * @param isWanted see `wantsTraces`
 */
export async function startTracing(isWanted: boolean, service: TracedService, log: Log): Promise<Tracing | undefined> {
  if (!isWanted) return undefined;
  const [api, sdk, { OTLPTraceExporter }, resources, names] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/semantic-conventions'),
  ]);
  const ignored = (): void => {};
  // Its errors are failed exports, which `loggedExporter` reports without the texts of a collector.
  const diag = { error: ignored, info: ignored, debug: ignored, verbose: ignored, warn: warnings(log) };
  api.diag.setLogger(diag, api.DiagLogLevel.WARN);
  const own = resources.resourceFromAttributes({
    [names.ATTR_SERVICE_NAME]: service.name,
    [names.ATTR_SERVICE_VERSION]: ownVersion,
    'service.instance.id': service.instance,
  });
  const given = resources.detectResources({ detectors: [resources.envDetector] });
  const provider = new sdk.BasicTracerProvider({
    resource: resources.defaultResource().merge(own).merge(given),
    spanProcessors: [new sdk.BatchSpanProcessor(loggedExporter(new OTLPTraceExporter(), log))],
  });
  log.info({ service: service.name }, 'traces are recorded');
  const tracer = provider.getTracer('penstock', ownVersion);
  return { start: (name, start) => startSpan(api, tracer, name, start), close: () => provider.shutdown() };
}

type Api = typeof OpenTelemetry;

function startSpan(api: Api, tracer: Tracer, name: string, start: SpanStart): OpenSpan {
  const { kind, parent, follows, at, attributes = {} } = start;
  const above = parent === undefined ? undefined : contextOf(api, parent);
  const before = follows === undefined ? undefined : contextOf(api, { traceparent: follows });
  const options: SpanOptions = {
    kind: api.SpanKind[KINDS[kind]],
    attributes: attributesOf(attributes),
    ...(before === undefined ? {} : { links: [{ context: before }] }),
    ...(at === undefined ? {} : { startTime: at }),
  };
  const around = above === undefined ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, above);
  const span = tracer.startSpan(name, options, around);
  return {
    ...placeOf(span),
    isRecorded: span.isRecording(),
    set: (more) => void span.setAttributes(attributesOf(more)),
    event: (what, when) => void span.addEvent(what, when),
    end: (failure, isFault = true, when?: number) => {
      if (failure !== undefined) span.setAttribute('error.type', failure);
      if (failure !== undefined && isFault) span.setStatus({ code: api.SpanStatusCode.ERROR });
      span.end(when);
    },
  };
}

const KINDS = { server: 'SERVER', internal: 'INTERNAL', consumer: 'CONSUMER', client: 'CLIENT' } as const;

function contextOf(api: Api, { traceparent, tracestate }: SpanPlace) {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-');
  const state = tracestate === undefined ? {} : { traceState: api.createTraceState(tracestate) };
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true, ...state };
}

function placeOf(span: Span): SpanPlace {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  const tracestate = traceState?.serialize() ?? '';
  return tracestate === '' ? { traceparent } : { traceparent, tracestate };
}

function attributesOf(given: SpanAttributes): Attributes {
  const told: Attributes = {};
  for (const [name, value] of Object.entries(given))
    if (value !== undefined) told[name] = typeof value === 'object' ? [...value] : value;
  return told;
}

/** Such as spans that find the queue full, or a file that cannot be read. */
function warnings(log: Log): (text: string) => void {
  let saidAt = -Infinity;
  return (text) => {
    if (performance.now() - saidAt < SAID_EVERY_MS) return;
    saidAt = performance.now();
    log.warn({ cause: text.slice(0, 200) }, 'OpenTelemetry warns');
  };
}

/** Says in the log that a collector takes no spans, but not for each export, and that it takes them again. */
export function loggedExporter(exporter: SpanExporter, log: Log, now = (): number => performance.now()): SpanExporter {
  let lost = 0;
  let saidAt = -Infinity;
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, (result) => {
        // Source: `ExportResultCode` of OpenTelemetry: 0 is success.
        if (result.code === 0 && lost > 0) {
          log.info({ spansLost: lost }, 'the collector takes spans again');
          lost = 0;
          saidAt = -Infinity;
        } else if (result.code !== 0) {
          lost += spans.length;
          if (now() - saidAt >= SAID_EVERY_MS) {
            saidAt = now();
            // Its own text may repeat what the collector or the operator wrote.
            const cause =
              result.error !== undefined && 'code' in result.error ? String(result.error.code) : 'no answer';
            log.warn({ spansLost: lost, cause: cause.slice(0, 100) }, 'the collector took no spans: they are lost');
          }
        }
        done(result);
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}
