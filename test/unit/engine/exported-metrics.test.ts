import { expect, test } from '@jest/globals';
import { exportMetrics } from '../../../worker-launcher/engine/exported-metrics.ts';

const PAGE = `# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 1.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="m"} 2.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 2.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.4
vllm:request_prompt_tokens_sum{engine="0",model_name="m"} 7.0
`;

test('the exported metrics of all engines are one page: each family once, each sample with its engine', () => {
  const page = exportMetrics([
    { engine: 'engine-0', page: PAGE },
    { engine: 'engine-1', page: PAGE.replaceAll('3.0', '5.0') },
  ]);
  expect(page).toBe(`# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="engine-0",engine_core="0",model_name="m"} 3.0
vllm:num_requests_running{engine="engine-1",engine_core="0",model_name="m"} 5.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="engine-0",engine_core="0",le="0.5",model_name="m"} 2.0
vllm:time_to_first_token_seconds_count{engine="engine-0",engine_core="0",model_name="m"} 2.0
vllm:time_to_first_token_seconds_sum{engine="engine-0",engine_core="0",model_name="m"} 0.4
vllm:time_to_first_token_seconds_bucket{engine="engine-1",engine_core="0",le="0.5",model_name="m"} 2.0
vllm:time_to_first_token_seconds_count{engine="engine-1",engine_core="0",model_name="m"} 2.0
vllm:time_to_first_token_seconds_sum{engine="engine-1",engine_core="0",model_name="m"} 0.4
`);
  expect(exportMetrics([])).toBe('');
});

test('a metric without labels gets the engine as its only label', () => {
  expect(exportMetrics([{ engine: 'engine-0', page: 'vllm:num_requests_waiting 4\n' }])).toBe(
    'vllm:num_requests_waiting{engine="engine-0"} 4\n',
  );
});
