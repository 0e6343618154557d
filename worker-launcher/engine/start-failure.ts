/** Why an engine did not start, from what it wrote: one sentence and what to do next. Sources: vLLM 0.24 to 0.33, CUDA, the hub's client. */

export interface StartFailure {
  /** a word for programs */
  readonly cause: string;
  /** for people; names the numbers that vLLM names */
  readonly sentence: string;
  readonly next: string;
}

interface Row {
  readonly cause: string;
  readonly line: RegExp;
  readonly sentence: string;
  readonly next: string;
}

/** In this order: a cause stands before what it leads to. `$1` is what the line itself says. */
const ROWS: readonly Row[] = [
  {
    cause: 'no_unix_sockets',
    line: /unrecognized arguments:.*--uds/,
    sentence: 'this vLLM does not listen on unix sockets (--uds)',
    next: 'install vLLM 0.24 or newer, or set WORKER_ENGINE_PORT; it is not tried again',
  },
  {
    cause: 'bad_flag',
    line: /unrecognized arguments: (.+)|error: (argument .+)|(invalid choice: .+|expected one argument.*)/,
    sentence: 'vLLM does not take an argument: $1',
    next: "correct WORKER_ENGINE_ARGS or the card's engine.args; it is not tried again",
  },
  {
    cause: 'port_taken',
    line: /Address already in use|EADDRINUSE/,
    sentence: 'another program has its port',
    next: 'set WORKER_ENGINE_PORT to another port, or leave it out: engines then listen on unix sockets',
  },
  {
    cause: 'driver_too_old',
    line: /NVIDIA driver on your system is too old(?: \(found version (\d+)\))?|driver version is insufficient for CUDA|cudaErrorInsufficientDriver|system has unsupported display driver/,
    sentence: 'the NVIDIA driver is too old for this vLLM $1',
    next: 'install a driver of the 580 branch or newer, or a vLLM that was built for the older CUDA',
  },
  {
    cause: 'no_gpu',
    line: /No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type|no CUDA-capable device|Device string must not be empty/,
    sentence: 'vLLM found no GPU that it may use',
    next: 'see that nvidia-smi lists it and that CUDA_VISIBLE_DEVICES, or the pod, lets it through',
  },
  {
    cause: 'gpu_fault',
    line: /(uncorrectable ECC error|fallen off the bus|Xid[^,]*|GPU is lost|CUDA error: unspecified launch failure)/i,
    sentence: 'the GPU is faulty: $1',
    next: 'reset or replace the GPU; see dmesg for its Xid',
  },
  {
    cause: 'memory_taken',
    line: /Free memory on device.*?\(([\d.]+\/[\d.]+ GiB)\) on startup is less than desired GPU memory utilization \(([^)]*)\)/,
    sentence: 'too little of the GPU is free ($1 against the $2 that it wants): another process holds the rest',
    next: 'end the process that nvidia-smi shows, or lower WORKER_GPU_MEMORY_UTILIZATION',
  },
  {
    cause: 'context_over_memory',
    line: /To serve at least one request with the model's max seq len \((\d+)\),? \(?([\d.]+ GiB).*?available KV cache memory \(([\d.]+ GiB)\)/,
    sentence: 'one context of $1 tokens needs $2 of KV cache, and $3 are left for it',
    next: 'lower WORKER_MAX_MODEL_LEN, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'context_over_memory',
    line: /To serve at least one request with the model's max seq len|KV cache is needed, which is larger/,
    sentence: 'one full context does not fit into the memory that is left for the KV cache',
    next: 'lower WORKER_MAX_MODEL_LEN, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'no_cache_memory',
    line: /No available memory for the cache blocks/,
    sentence: 'the weights leave no memory of the GPU for the KV cache',
    next: 'raise WORKER_GPU_MEMORY_UTILIZATION, or give an engine more GPUs with WORKER_TENSOR_PARALLEL',
  },
  {
    cause: 'out_of_memory',
    line: /(?:CUDA out of memory|OutOfMemoryError)(?:.*?Tried to allocate ([\d.]+ [GM]iB))?/,
    sentence: 'the GPU ran out of memory while starting $1',
    next: 'lower WORKER_GPU_MEMORY_UTILIZATION or the places of an engine (WORKER_MAX_IN_FLIGHT_TEXT), or use more GPUs an engine',
  },
  {
    cause: 'context_over_model',
    line: /max_model_len \((\d+)\) is greater than the derived max_model_len \((?:\w+=)?([\d.]+)/,
    sentence: 'a context of $1 tokens is more than the $2 that the model was made for',
    next: "lower WORKER_MAX_MODEL_LEN or the card's limits.context_tokens",
  },
  {
    cause: 'untrusted_code',
    line: /pass the argument `?trust_remote_code=True/,
    sentence: 'the model brings code of its own, and the card does not allow it',
    next: 'read that code, pin its revision in the card and set engine.trust_remote_code there',
  },
  {
    cause: 'weights_refused',
    line: /GatedRepoError|401 Client Error|403 Client Error|Cannot access gated repo/,
    sentence: 'the hub refuses the weights to this account',
    next: "accept the model's terms on the hub and set HF_TOKEN",
  },
  {
    cause: 'weights_missing',
    line: /LocalEntryNotFoundError|RepositoryNotFoundError|RevisionNotFoundError|not a valid model identifier|does not appear to have a file named (\S+)|Cannot find any model weights|Can't load the configuration|Invalid repository ID or local directory/,
    sentence: 'the weights are not there, or not complete $1',
    next: 'set WORKER_WEIGHTS to a folder that holds them, or let the machine reach the hub (HF_HUB_OFFLINE unset)',
  },
  {
    cause: 'disk_full',
    line: /No space left on device/,
    sentence: 'a disk, or /dev/shm, is full',
    next: 'make room where HF_HOME and /dev/shm are; in a container raise its shared memory',
  },
  {
    cause: 'engine_init',
    line: /^(?!.*(?:Engine core|WorkerProc) initialization failed).*?(\b\w*(?:Error|Exception)\b: ?\S.*)/,
    sentence: 'vLLM failed with $1',
    next: "see the engine's output with WORKER_LOG_LEVEL=debug",
  },
  {
    cause: 'engine_init',
    line: /((?:Engine core|WorkerProc) initialization failed.*|\S+ died unexpectedly.*)/,
    sentence: 'vLLM failed without a cause of its own: $1',
    next: "see the engine's output with WORKER_LOG_LEVEL=debug",
  },
];

const QUOTED_CHARACTERS = 300;
/** What vLLM tells of its settings may hold the words of any failure. */
const NO_FAILURE = /\b(?:INFO|DEBUG) \d\d-\d\d /;

/**
 * @param lines the last lines of its output, oldest first
 * @param code exit code; null when a signal or a failed spawn ended it
 * @param how it ended, for people
 */
export function explainStart(lines: readonly string[], code: number | null, how: string): StartFailure {
  const telling = lines.filter((line) => !NO_FAILURE.test(line));
  for (const { cause, line: pattern, sentence, next } of ROWS) {
    const match = telling.map((line) => pattern.exec(line)).findLast((found) => found !== null);
    if (match === undefined || match === null) continue;
    return { cause, sentence: filled(sentence, match), next };
  }
  if (/ENOENT|EACCES/.test(how))
    return {
      cause: 'no_command',
      sentence: `the command vllm ${how}`,
      next: 'install vLLM, or put its folder on PATH',
    };
  const last = lines
    .findLast((line) => line.trim() !== '')
    ?.trim()
    .slice(0, QUOTED_CHARACTERS);
  return {
    cause: code === 2 ? 'bad_flag' : 'unknown',
    sentence: last === undefined ? how : `${how}; ${last}`,
    next: "see the engine's output with WORKER_LOG_LEVEL=debug",
  };
}

/** Puts what the line says in the place of `$1`, `$2` …; several alternatives of a pattern count as one. */
function filled(sentence: string, match: RegExpExecArray): string {
  const said = match.slice(1).filter((group) => group !== undefined);
  return sentence
    .replaceAll(/\$(\d)/g, (_, number: string) => said[Number(number) - 1]?.slice(0, QUOTED_CHARACTERS) ?? '')
    .trim();
}
