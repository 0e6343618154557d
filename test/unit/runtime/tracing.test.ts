import { expect, test } from '@jest/globals';
import { loadTraceSettings, wantsTraces } from '#runtime/trace-settings';
import { loggedExporter, startTracing } from '#runtime/tracing';
import { silentLog } from '../../support/silent-log.ts';

const ON = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

test('traces are on where a collector is named, and off otherwise', () => {
  expect(wantsTraces(ON)).toBe(true);
  expect(wantsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' })).toBe(true);
  expect(wantsTraces({})).toBe(false);
  expect(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' })).toBe(false);
  expect(wantsTraces({ ...ON, OTEL_SDK_DISABLED: 'true' })).toBe(false);
  expect(wantsTraces({ ...ON, OTEL_TRACES_EXPORTER: 'none' })).toBe(false);
  // Variables for other programs of the same machine.
  expect(wantsTraces({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_METRICS_EXPORTER: 'otlp' })).toBe(false);
  expect(wantsTraces({ ...ON, OTEL_METRICS_EXPORTER: 'prometheus' })).toBe(true);
  const ofSpans = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' };
  expect(wantsTraces({ ...ON, ...ofSpans })).toBe(true);
});

test.each([
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }, 'takes a URL such as http://collector:4318'],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'takes http/protobuf'],
  [{ OTEL_TRACES_SAMPLER: 'sometimes' }, 'takes one of always_on'],
  [{ OTEL_TRACES_SAMPLER_ARG: '2' }, 'OTEL_TRACES_SAMPLER_ARG'],
  [{ OTEL_BSP_MAX_QUEUE_SIZE: '1000000000' }, 'takes a whole number from 1 to 100000'],
])('a start with %j is refused with a clear sentence', (wrong, sentence) => {
  expect(() => wantsTraces({ ...ON, ...wrong })).toThrow(sentence);
});

test('a refused header is not repeated', () => {
  expect(() => wantsTraces({ ...ON, OTEL_EXPORTER_OTLP_HEADERS: 'topsecret' })).toThrow(/HEADERS: takes name=value/);
  expect(() => wantsTraces({ ...ON, OTEL_EXPORTER_OTLP_HEADERS: 'topsecret' })).not.toThrow(/topsecret/);
  expect(loadTraceSettings({ OTEL_EXPORTER_OTLP_HEADERS: 'a=b,c=d' }).OTEL_EXPORTER_OTLP_HEADERS).toBe('a=b,c=d');
});

test('nothing records where traces are off', async () => {
  expect(await startTracing(false, { name: 'test', instance: 'one' }, silentLog)).toBeUndefined();
});

test('lost spans are told once a minute, and that they arrive again', () => {
  const lines: string[] = [];
  const log = {
    ...silentLog,
    info: (fields: object, text: string) => void lines.push(`${text} ${JSON.stringify(fields)}`),
    warn: (fields: object, text: string) => void lines.push(`${text} ${JSON.stringify(fields)}`),
  };
  let now = 0;
  let code = 1;
  const failed = { code: 1, error: new Error('a text that may hold a secret') };
  const collector = {
    export: (_spans: unknown, done: (result: { code: number; error?: Error }) => void) =>
      done(code === 0 ? { code } : failed),
    shutdown: () => Promise.resolve(),
  };
  const exporter = loggedExporter(collector, log, () => now);
  const send = (): void => exporter.export([], () => {});
  for (let n = 0; n < 5; n += 1) send();
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain('secret');
  now = 60_000;
  send();
  expect(lines).toHaveLength(2);
  code = 0;
  send();
  send();
  expect(lines).toHaveLength(2);
});
