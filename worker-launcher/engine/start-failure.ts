/** Explains a failed start from the engine's output: the cause and what to do. Sources: vLLM 0.24 to 0.33, CUDA, the hub's client. */

export interface StartFailure {
  /** a word for programs */
  readonly cause: string;
  /** for people, with vLLM's numbers */
  readonly sentence: string;
  readonly next: string;
}

interface Row {
  readonly cause: string;
  readonly line: RegExp;
  readonly sentence: string;
  readonly next: string;
}

/** The order matters: a cause comes before its consequences. `$1` is the first group of `line`. */
const ROWS: readonly Row[] = [
  {
    cause: 'no_unix_sockets',
    line: /unrecognized arguments:.*--uds/,
    sentence: 'this vLLM does not listen on unix sockets (--uds)',
    next: 'install vLLM 0.24 or newer, or set WORKER_ENGINE_PORT; the launcher does not retry',
  },
  {
    cause: 'bad_flag',
    line: /unrecognized arguments: (.+)|error: (argument .+)|(invalid choice: .+|expected one argument.*)/,
    sentence: 'vLLM refuses an argument: $1',
    next: "correct WORKER_ENGINE_ARGS or the card's engine.args; the launcher does not retry",
  },
  {
    cause: 'port_taken',
    line: /Address already in use|EADDRINUSE/,
    sentence: 'another program uses its port',
    next: 'set WORKER_ENGINE_PORT to another port, or unset it: engines then listen on unix sockets',
  },
  {
    cause: 'driver_too_old',
    line: /NVIDIA driver on your system is too old(?: (\(found version \d+\)))?|driver version is insufficient for CUDA|cudaErrorInsufficientDriver|system has unsupported display driver/,
    sentence: 'the NVIDIA driver is too old for this vLLM $1',
    next: 'install a driver of the 580 branch or newer, or a vLLM built for the older CUDA',
  },
  {
    cause: 'no_gpu',
    line: /No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type|no CUDA-capable device|Device string must not be empty/,
    sentence: 'vLLM found no usable GPU',
    next: 'check that nvidia-smi lists the GPU and that CUDA_VISIBLE_DEVICES and the pod allow it',
  },
  {
    cause: 'gpu_fault',
    line: /(uncorrectable ECC error|fallen off the bus|Xid[^,]*|GPU is lost|CUDA error: unspecified launch failure)/i,
    sentence: 'the GPU is faulty: $1',
    next: 'reset or replace the GPU; dmesg shows its Xid',
  },
  {
    cause: 'memory_taken',
    line: /Free memory on device.*?\(([\d.]+\/[\d.]+ GiB)\) on startup is less than desired GPU memory utilization \(([^)]*)\)/,
    sentence: 'too little GPU memory is free ($1, the engine needs a share of $2): another process uses the rest',
    next: 'end the process that nvidia-smi shows, or lower WORKER_GPU_MEMORY_UTILIZATION',
  },
  {
    cause: 'context_over_memory',
    line: /To serve at least one request with the model's max seq len \((\d+)\),? \(?([\d.]+ GiB).*?available KV cache memory \(([\d.]+ GiB)\)/,
    sentence: 'one context of $1 tokens needs $2 of KV cache, but only $3 are available',
    next: 'lower WORKER_MAX_MODEL_LEN, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'context_over_memory',
    line: /To serve at least one request with the model's max seq len|KV cache is needed, which is larger/,
    sentence: 'one full context does not fit into the memory for the KV cache',
    next: 'lower WORKER_MAX_MODEL_LEN, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'no_cache_memory',
    line: /No available memory for the cache blocks/,
    sentence: 'the weights leave no GPU memory for the KV cache',
    next: 'raise WORKER_GPU_MEMORY_UTILIZATION, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'out_of_memory',
    line: /(?:CUDA out of memory|OutOfMemoryError)(?:.*?(Tried to allocate [\d.]+ [GM]iB))?/,
    sentence: 'the GPU ran out of memory during the start: $1',
    next: 'lower WORKER_GPU_MEMORY_UTILIZATION or the concurrent requests of an engine (WORKER_MAX_IN_FLIGHT_TEXT), or use more GPUs per engine',
  },
  {
    cause: 'context_over_model',
    line: /max_model_len \((\d+)\) is greater than the derived max_model_len \((?:\w+=)?([\d.]+)/,
    sentence: 'a context of $1 tokens is longer than the $2 that the model supports',
    next: "lower WORKER_MAX_MODEL_LEN or the card's limits.context_tokens",
  },
  {
    cause: 'untrusted_code',
    line: /pass the argument `?trust_remote_code=True/,
    sentence: 'the model includes its own code, and the card does not allow it',
    next: 'read that code, then set engine.trust_remote_code in the card and pin its revision there',
  },
  {
    cause: 'weights_refused',
    line: /GatedRepoError|401 Client Error|403 Client Error|Cannot access gated repo/,
    sentence: 'the hub denies this account access to the weights',
    next: "accept the model's terms on the hub and set HF_TOKEN",
  },
  {
    cause: 'weights_missing',
    line: /LocalEntryNotFoundError|RepositoryNotFoundError|RevisionNotFoundError|not a valid model identifier|(does not appear to have a file named \S+)|Cannot find any model weights|Can't load the configuration|Invalid repository ID or local directory/,
    sentence: 'the weights are missing or incomplete: $1',
    next: 'set WORKER_WEIGHTS to the folder of the weights, or let the machine reach the hub (HF_HUB_OFFLINE unset)',
  },
  {
    cause: 'disk_full',
    line: /No space left on device/,
    sentence: 'a disk or /dev/shm is full',
    next: 'free space on the disks of HF_HOME and /dev/shm; in a container, raise its shared memory',
  },
  {
    cause: 'engine_init',
    line: /^(?!.*(?:Engine core|WorkerProc) initialization failed).*?(\b\w*(?:Error|Exception)\b: ?\S.*)/,
    sentence: 'vLLM failed with $1',
    next: "set WORKER_LOG_LEVEL=debug and read the engine's output",
  },
  {
    cause: 'engine_init',
    line: /((?:Engine core|WorkerProc) initialization failed.*|\S+ died unexpectedly.*)/,
    sentence: 'vLLM failed and gave no cause: $1',
    next: "set WORKER_LOG_LEVEL=debug and read the engine's output",
  },
];

const QUOTED_CHARACTERS = 300;
/** vLLM's log of its own settings may contain the words of any failure. */
const NO_FAILURE = /\b(?:INFO|DEBUG) \d\d-\d\d /;

/**
 * @param lines the last lines of its output, oldest first
 * @param code exit code; null after a signal or a failed spawn
 * @param how the process ended, for people
 */
export function explainStart(lines: readonly string[], code: number | null, how: string): StartFailure {
  const candidates = lines.filter((line) => !NO_FAILURE.test(line));
  for (const { cause, line: pattern, sentence, next } of ROWS) {
    const match = candidates.map((line) => pattern.exec(line)).findLast((found) => found !== null);
    if (match === undefined || match === null) continue;
    return { cause, sentence: filled(sentence, match), next };
  }
  if (/ENOENT|EACCES/.test(how))
    return {
      cause: 'no_command',
      sentence: `the command vllm ${how}`,
      next: 'install vLLM, or add its folder to PATH',
    };
  const last = lines
    .findLast((line) => line.trim() !== '')
    ?.trim()
    .slice(0, QUOTED_CHARACTERS);
  return {
    cause: code === 2 ? 'bad_flag' : 'unknown',
    sentence: last === undefined ? how : `${how}; ${last}`,
    next: "set WORKER_LOG_LEVEL=debug and read the engine's output",
  };
}

/** Replaces `$1`, `$2` … by the matched groups, numbered without empty ones; drops a colon with nothing after it. */
function filled(sentence: string, match: RegExpExecArray): string {
  const groups = match.slice(1).filter((group) => group !== undefined);
  return sentence
    .replaceAll(/\$(\d)/g, (_, number: string) => groups[Number(number) - 1]?.slice(0, QUOTED_CHARACTERS) ?? '')
    .replace(/:?\s*$/, '');
}
