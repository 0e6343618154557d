import { expect, test } from '@jest/globals';
import { mayBeFull, ProgressClock, readWork, type WorkSample } from '../../../worker-launcher/engine/progress.ts';
import { EngineWatch } from '../../../worker-launcher/engine/watch.ts';

const PAGE = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 9.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 1234.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 99.0
`;

test('the work of an engine is read from its own page, summed over its ranks', () => {
  expect(readWork(PAGE)).toEqual({ requests: 6, steps: 1234, cacheUsage: 0.25 });
  expect(readWork('http_requests_total 3\n')).toBeUndefined();
});

const queues = (running: number, waiting: number, gaps: number): string => `
vllm:num_requests_running{engine="0"} ${running}
vllm:num_requests_waiting{engine="0"} ${waiting}
vllm:inter_token_latency_seconds_sum{engine="0"} 1.0
vllm:inter_token_latency_seconds_count{engine="0"} ${gaps}
vllm:time_to_first_token_seconds_sum{engine="0"} 1.0
vllm:time_to_first_token_seconds_count{engine="0"} 1.0
`;

test.each([
  ['gives tokens to some while others wait in it', queues(8, 3, 100), queues(8, 4, 900), true],
  ['gives tokens, and nothing waits in it', queues(8, 0, 100), queues(8, 0, 900), false],
  ['gives no token', queues(8, 3, 100), queues(8, 4, 100), false],
  ['works on nothing, and requests wait in it', queues(0, 3, 100), queues(0, 4, 100), false],
  ['has a page without these counters', 'up 1\n', 'up 1\n', true],
  ['had no page', undefined, queues(8, 0, 900), true],
])('an engine that %s: may its memory be full?', (_what, before, after, expected) => {
  expect(mayBeFull(before, after)).toBe(expected);
});

const at = (steps: number, requests = 1, cacheUsage = 0.1): WorkSample => ({ requests, steps, cacheUsage });

test('steps, or a cache that fills during a long prompt, are progress; work without either is a stall that grows', () => {
  const clock = new ProgressClock();
  expect(clock.look(at(1), 0, 0)).toEqual({ kind: 'idle' });
  expect(clock.look(at(2), 0, 1_000)).toEqual({ kind: 'progress' });
  expect(clock.look(at(2, 1, 0.2), 0, 2_000)).toEqual({ kind: 'progress' });
  expect(clock.look(at(2, 1, 0.2), 0, 4_000)).toEqual({ kind: 'stalled', forMs: 2_000 });
  expect(clock.look(at(2, 1, 0.2), 0, 9_000)).toEqual({ kind: 'stalled', forMs: 7_000 });
  expect(clock.look(at(3, 1, 0.2), 0, 10_000)).toEqual({ kind: 'progress' });
});

test('an idle engine does not stall; one that does not report our requests does', () => {
  const clock = new ProgressClock();
  clock.look(at(1, 0), 0, 0);
  expect(clock.look(at(1, 0), 0, 60_000)).toEqual({ kind: 'idle' });
  expect(clock.look(at(1, 0), 2, 66_000)).toEqual({ kind: 'stalled', forMs: 6_000 });
});

/** A watch over an engine whose page shows `steps`; its test generations stay unanswered until `answer`. */
function watched(inFlight: number) {
  const events: string[] = [];
  let now = 0;
  const engine = { steps: 1, canaries: 0, saturated: false, inFlight };
  const watch = new EngineWatch({
    probe: {
      metrics: async () =>
        `\nvllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:iteration_tokens_total_count ${engine.steps}\n`,
      canary: () => {
        engine.canaries += 1;
        return new Promise(() => {});
      },
    },
    limits: { stallMs: 5_000, hangMs: 20_000, idleCanaryMs: 30_000 },
    inFlight: () => engine.inFlight,
    onLook: (event) => events.push(`${event}@${now / 1_000}`),
  });
  const pass = async (seconds: number, perSecond = 0): Promise<string[]> => {
    events.length = 0;
    for (const until = now + seconds * 1_000; now < until;) {
      now += 1_000;
      engine.steps += perSecond;
      watch.turn(now, false);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return [...events];
  };
  return { engine, pass };
}

test('a frozen engine with work is suspect within 8 s and given up within 23 s', async () => {
  const { engine, pass } = watched(4);
  expect(await pass(10, 5)).not.toContain(expect.stringContaining('stalled'));
  const events = await pass(25);
  expect(events.find((event) => event.startsWith('stalled'))).toBe('stalled@16');
  expect(events.find((event) => event.startsWith('hung'))).toBe('hung@31');
  expect(engine.canaries).toBe(1);
});

test('an engine that steps for hours is never suspect, whatever it answers', async () => {
  const { engine, pass } = watched(288);
  const events = await pass(7_200, 1);
  expect(new Set(events.map((event) => event.split('@')[0]))).toEqual(new Set(['progress']));
  expect(engine.canaries).toBe(0);
});

test('a test generation finds an idle engine that froze', async () => {
  const { engine, pass } = watched(0);
  expect(await pass(29)).toEqual([]);
  expect(engine.canaries).toBe(0);
  const events = await pass(15);
  expect(engine.canaries).toBe(1);
  expect(events.some((event) => event.startsWith('stalled'))).toBe(true);
});
