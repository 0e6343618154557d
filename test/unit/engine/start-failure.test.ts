import { expect, test } from '@jest/globals';
import { explainStart } from '../../../worker-launcher/engine/start-failure.ts';
import { stageIn } from '../../../worker-launcher/engine/start-progress.ts';
import { START_FAILURES } from '../../../worker-launcher/simulator/command-line/fault-set.ts';

const EARLY = Array.from({ length: 80 }, (_, index) => `(APIServer pid=7) INFO line ${index}`);
const LATE = [
  '(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
];

const CAUSES: Record<keyof typeof START_FAILURES, readonly [cause: string, said: RegExp] | undefined> = {
  'model-missing': ['weights_missing', /^the weights are missing or incomplete$/],
  'untrusted-code': ['untrusted_code', /the card does not allow it$/],
  'port-busy': ['port_taken', /^another program uses its port/],
  'context-over-model': ['context_over_model', /^a context of 999999 tokens is longer than the 131072\.0 /],
  'no-cache-memory': ['no_cache_memory', /no GPU memory for the KV cache$/],
  'cache-too-small': [
    'context_over_memory',
    /^one context of 131072 tokens needs 48\.00 GiB .* 12\.00 GiB are available/,
  ],
  'memory-taken': [
    'memory_taken',
    /^too little GPU memory is free \(10\.00\/79\.15 GiB, the engine needs a share of 0\.92, 72\.82 GiB/,
  ],
  'out-of-memory': ['out_of_memory', /^the GPU ran out of memory during the start: Tried to allocate 2\.00 GiB$/],
  'worker-init': ['engine_init', /^vLLM failed and gave no cause: WorkerProc initialization failed/],
  'engine-init': ['engine_init', /^vLLM failed and gave no cause: Engine core initialization failed/],
  hang: undefined,
};

test.each(Object.entries(CAUSES).filter(([, expected]) => expected !== undefined))(
  'a start that fails with %s: one sentence with the cause, and what to do',
  (name, expected) => {
    const text = Object.entries(START_FAILURES).find(([key]) => key === name)?.[1]?.text ?? '';
    const lines = [...EARLY, `(EngineCore pid=9) ERROR 11-23 08:01:36 [core.py:1] ${text}`, ...LATE];
    const { cause, sentence, next } = explainStart(
      name === 'worker-init' ? lines.slice(0, -1) : lines,
      1,
      'ended with exit code 1',
    );
    const [word, said] = expected ?? ['', /./];
    expect([cause, sentence]).toEqual([word, expect.stringMatching(said)]);
    expect(next.length).toBeGreaterThan(10);
  },
);

test.each([
  ['RuntimeError: No CUDA GPUs are available', 'no_gpu', 'no usable GPU'],
  ['RuntimeError: Failed to infer device type, please set the environment variable', 'no_gpu', 'no usable GPU'],
  [
    'RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver',
    'driver_too_old',
    'too old for this vLLM (found version 12040)',
  ],
  ['torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered', 'gpu_fault', 'uncorrectable ECC error'],
  ['OSError: [Errno 28] No space left on device', 'disk_full', 'is full'],
  ['huggingface_hub.errors.GatedRepoError: 401 Client Error.', 'weights_refused', 'access to the weights'],
  ['OSError: /models/m does not appear to have a file named config.json', 'weights_missing', 'config.json'],
  ['KeyError: rope', 'engine_init', 'KeyError: rope'],
  ['vllm: error: unrecognized arguments: --nonsense 3', 'bad_flag', '--nonsense 3'],
  ['vllm serve: error: argument --max-num-seqs: invalid int value', 'bad_flag', 'argument --max-num-seqs'],
])('%s', (line, cause, said) => {
  const failure = explainStart([...EARLY, line, ...LATE], 1, 'ended with exit code 1');
  expect(failure.cause).toBe(cause);
  expect(failure.sentence).toContain(said);
});

test('a log line of vLLM about its own settings does not count as a failure', () => {
  const config =
    "(EngineCore pid=9) INFO 11-23 08:01:36 [core.py:133] Initializing a V1 LLM engine with config: trust_remote_code=True, note='CUDA out of memory'";
  expect(explainStart([config], 0, 'ended with exit code 0').cause).toBe('unknown');
});

test('an unknown failure quotes the last line, or how the process ended', () => {
  expect(explainStart(['INFO a', 'INFO b', ''], 1, 'ended with exit code 1').sentence).toBe(
    'ended with exit code 1; INFO b',
  );
  expect(explainStart([], null, 'was ended by SIGKILL').sentence).toBe('was ended by SIGKILL');
  expect(explainStart([], null, 'could not be started: spawn vllm ENOENT').cause).toBe('no_command');
});

test.each([
  ['(APIServer pid=7) INFO 11-23 [model.py:733] Resolved architecture: Phi3VForCausalLM', 'preparing Phi3VForCausalLM'],
  ['Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:03<00:03,  3.10s/it]', 'loading weights, 50 %'],
  ['(Worker pid=9) INFO [gpu_model_runner.py:90] Model loading took 7.91 GiB memory', 'weights loaded, 7.91 GiB'],
  [
    '(EngineCore pid=8) INFO GPU KV cache size: 170,155 tokens, Maximum concurrency for 131,072 tokens per request: 1.30x',
    'KV cache of 170,155 tokens',
  ],
  ['INFO:     Application startup complete.', 'generating a first token'],
  ['INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', undefined],
])('a log line becomes a stage of the start: %s', (line, stage) => {
  expect(stageIn(line)).toBe(stage);
});
