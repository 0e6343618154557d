import { expect, test } from '@jest/globals';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { Registry } from 'prom-client';
import { OPERATIONS } from '#contract/operation';
import { wantsNewestNames } from '#runtime/newest-names';
import { generationMetrics } from '../../gateway/generation-metrics.ts';

const names = new Set(Object.values(conventions).filter((value) => typeof value === 'string'));
const PROMETHEUS = /^gen_ai_.*_(seconds|usage)$/;

test('each GenAI metric has a name of the conventions, and their required labels', async () => {
  const registry = new Registry();
  const metrics = generationMetrics([registry], true);
  const chat = { operation: 'chat', model: 'm' };
  metrics.ended({ ...chat, dialect: 'openai', status: '502' }, 1, 'worker_lost');
  metrics.begun(chat, 0.1);
  metrics.paced(chat, 0.1);
  metrics.used(chat, 'input', 7);
  const inPrometheus = (name: string): string => name.replaceAll('.', '_');
  const known = new Set([...names].map(inPrometheus));
  for (const { name } of registry.getMetricsAsArray()) {
    expect(name).toMatch(PROMETHEUS);
    expect(known).toContain(name.replace(/_seconds$/, ''));
    const page = await registry.getSingleMetricAsString(name);
    for (const label of ['gen_ai_operation_name="chat"', 'gen_ai_provider_name="vllm"', 'gen_ai_request_model="m"'])
      expect(page).toContain(label);
  }
  expect(names).toContain(OPERATIONS['/v1/completions']);
  const requests = await registry.getSingleMetricAsString('gen_ai_server_request_duration_seconds');
  expect(requests).toContain('error_type="worker_lost"');
});

test('the newest names are not there unless they are chosen', () => {
  const registry = new Registry();
  generationMetrics([registry], false);
  expect(registry.getMetricsAsArray().filter(({ name }) => name.startsWith('gen_ai_client_operation'))).toEqual([]);
});

test('the newest names are a choice', () => {
  expect(wantsNewestNames({})).toBe(false);
  expect(wantsNewestNames({ OTEL_SEMCONV_STABILITY_OPT_IN: 'http/dup, gen_ai_latest_experimental' })).toBe(true);
});
