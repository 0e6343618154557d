import { z } from 'zod';

const number = z.coerce.number().int();
const events = number.min(0);

/** Causes of a start that fails, each with vLLM's last words (recorded or read in its source); exit code 1. */
export const START_FAILURES = {
  'model-missing': {
    text: 'huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled.',
  },
  'untrusted-code': {
    text: 'Please pass the argument `trust_remote_code=True` to allow custom code to be run.',
  },
  'port-busy': { text: 'OSError: [Errno 98] Address already in use' },
  'context-over-model': {
    text: 'Value error, User-specified max_model_len (999999) is greater than the derived max_model_len (max_position_embeddings=131072.0)',
  },
  'no-cache-memory': {
    text: 'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.',
  },
  'cache-too-small': {
    text: "ValueError: To serve at least one request with the model's max seq len (131072), 48.00 GiB KV cache is needed, which is larger than the available KV cache memory (12.00 GiB).",
  },
  'memory-taken': {
    text: 'ValueError: Free memory on device (10.00/79.15 GiB) on startup is less than desired GPU memory utilization (0.92, 72.82 GiB).',
  },
  'out-of-memory': { text: 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.' },
  'worker-init': { text: 'Exception: WorkerProc initialization failed due to an exception in a background process.' },
  'engine-init': { text: 'RuntimeError: Engine core initialization failed. See root cause above.' },
  /** never ready, never gone; SIGTERM is not obeyed during a start */
  hang: undefined,
} as const;
const StartFailure = z.custom<keyof typeof START_FAILURES>(
  (value) => typeof value === 'string' && value in START_FAILURES,
  {
    error: `one of ${Object.keys(START_FAILURES).join(', ')}`,
  },
);

/** Every fault. Numbers of events count what a stream sends, the role event included. */
export const FaultSet = z.strictObject({
  /** the worker stands still: no tokens; VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS later the engine dies */
  'freeze-decode': z.stringbool(),
  /** the engine core stands still: no tokens, no end, SIGTERM without effect */
  'freeze-core': z.stringbool(),
  /** the engine dies: error events, 503, exit 0 */
  'kill-core': z.stringbool(),
  /** the same once so many events were sent in all */
  'kill-core-after': events,
  /** the whole process is gone, as by kill -9, once so many events were sent in all */
  'crash-after': events,
  /** the process exits at once with this code */
  exit: number.min(0).max(255),
  /** requests are taken and wait, while the engine works on others */
  saturate: z.stringbool(),
  /** requests are taken and never answered, not even with a head; those that run go on */
  mute: z.stringbool(),
  /** everything takes so many times as long; what takes no time, as long as if it took a millisecond */
  slow: number.min(1),
  /** every request is answered 503, queue full */
  refuse: z.stringbool(),
  /** every request is answered 500 */
  'fail-requests': z.stringbool(),
  /** every request is answered with this status, in a sentence that no vLLM has */
  'answer-status': number.min(400).max(599),
  /** the socket closes after so many events of a stream */
  'cut-after': events,
  /** a stream falls silent after so many events, while the engine goes on */
  'hang-after': events,
  /** the event with this number (from 1) is not JSON */
  'malformed-at': events,
  /** an error event and `[DONE]` after so many events of a stream */
  'error-after': events,
  /** SIGTERM: streams fall silent, the process stays for good */
  'sigterm-hang': z.stringbool(),
  /** code of the exit after the engine's death, 0 in vLLM */
  'exit-code': number.min(0).max(255),
  /** milliseconds that a start takes; only at start */
  'slow-start': number.min(0),
  /** a start that fails; only at start */
  'fail-start': StartFailure,
  /** how many requests or streams `refuse`, `fail-requests`, `answer-status`, `cut-after`, `hang-after`, `malformed-at`, `error-after` meet; default all */
  times: number.min(1),
});
export type FaultName = keyof z.output<typeof FaultSet>;
const AnyFaults = FaultSet.partial();
export type FaultSet = z.output<typeof AnyFaults>;

/**
 * Reads `--sim-faults`: `name` or `name=value`, separated by commas.
 * @throws z.ZodError for unknown names and values
 */
export function parseFaults(list: string): FaultSet {
  const entries = list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
    .map((item) => item.split('=', 2))
    .map(([name = '', value = 'true']) => [name, value] as const);
  return AnyFaults.parse(Object.fromEntries(entries));
}

/** Reads the body of the control route: values may be JSON's own numbers and truth values; null switches off. */
export function readFaults(body: unknown): Map<FaultName, FaultSet[FaultName] | undefined> {
  const given = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).parse(body);
  const on = Object.entries(given).filter(([, value]) => value !== null && value !== false);
  const parsed = AnyFaults.parse(Object.fromEntries(on.map(([name, value]) => [name, String(value)])));
  const changes = new Map<FaultName, FaultSet[FaultName] | undefined>();
  for (const name of FaultSet.keyof().options) {
    if (name in given) changes.set(name, parsed[name]);
  }
  const unknown = Object.keys(given).filter((name) => !(name in FaultSet.shape));
  if (unknown.length > 0) AnyFaults.parse(Object.fromEntries(unknown.map((name) => [name, true])));
  return changes;
}
