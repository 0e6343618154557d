import { z } from 'zod';

const number = z.coerce.number().int();
const events = number.min(0);

/** Causes of a failed start, each with vLLM's last log line (recorded, or read in its source); exit code 1. */
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
  /** never ready, never exits; a starting vLLM ignores SIGTERM */
  hang: undefined,
} as const;
const StartFailure = z.custom<keyof typeof START_FAILURES>(
  (value) => typeof value === 'string' && value in START_FAILURES,
  {
    error: `one of ${Object.keys(START_FAILURES).join(', ')}`,
  },
);

/** Every fault. Numbers of events include the role event of a stream. */
export const FaultSet = z.strictObject({
  /** the worker hangs: no tokens; the engine dies after VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS */
  'freeze-decode': z.stringbool(),
  /** the engine core hangs: no tokens, no end, SIGTERM has no effect */
  'freeze-core': z.stringbool(),
  /** the engine dies: error events, 503, exit code 0 */
  'kill-core': z.stringbool(),
  /** the same after so many events of all streams */
  'kill-core-after': events,
  /** SIGKILL of the entire process after so many events of all streams */
  'crash-after': events,
  /** the process exits immediately with this code */
  exit: number.min(0).max(255),
  /** new requests wait while the engine works on others */
  saturate: z.stringbool(),
  /** new requests are accepted and never answered, not even with a head; running requests go on */
  mute: z.stringbool(),
  /** every time is multiplied by this; a time of 0 counts as 1 ms */
  slow: number.min(1),
  /** every request is answered 503, queue full */
  refuse: z.stringbool(),
  /** every request is answered 500 */
  'fail-requests': z.stringbool(),
  /** every request is answered with this status and a message that vLLM does not have */
  'answer-status': number.min(400).max(599),
  /** the socket closes after so many events of a stream */
  'cut-after': events,
  /** a stream falls silent after so many events, while the engine goes on */
  'hang-after': events,
  /** the event with this number (from 1) is invalid JSON */
  'malformed-at': events,
  /** an error event and `[DONE]` after so many events of a stream */
  'error-after': events,
  /** SIGTERM: streams fall silent, the process never exits */
  'sigterm-hang': z.stringbool(),
  /** exit code after the engine's death, 0 in vLLM */
  'exit-code': number.min(0).max(255),
  /** length of the start in milliseconds; only at the start */
  'slow-start': number.min(0),
  /** cause of a failed start; only at the start */
  'fail-start': StartFailure,
  /** how many requests or streams the faults from `refuse` to `error-after` change; default all */
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

/** Reads the body of `POST /sim/faults`: values may be JSON numbers and booleans; null switches a fault off. */
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
