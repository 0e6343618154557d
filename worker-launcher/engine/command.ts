import type { ModelCard } from '#contract/model-card';
import type { EngineAddress } from './address.ts';

export type EngineKind = 'vllm' | 'simulator';

export interface EngineCommand {
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface CommandOptions {
  readonly kind: EngineKind;
  /** script of the simulator, run by this Node */
  readonly simulatorPath: string;
  readonly address: EngineAddress;
  /** concurrent requests of the engine: its own sequence limit, so that requests wait in our queue */
  readonly slots: { readonly text: number; readonly image: number };
  /** folder or hub name instead of the card's; the card's revision does not apply to it */
  readonly weights?: string | undefined;
  /** longest context, in tokens, instead of the card's */
  readonly maxModelLen?: number | undefined;
  readonly tensorParallel?: number | undefined;
  /** share of a GPU's memory; absent without a GPU */
  readonly gpuMemoryUtilization?: number | undefined;
  /** CPU threads of the engine; absent: the engine decides */
  readonly cpus?: number | undefined;
  /** optional arguments that this release of vLLM refused */
  readonly without?: ReadonlySet<string> | undefined;
  /** last on the command line, so they win */
  readonly extraArgs: readonly string[];
  /** device ids for `CUDA_VISIBLE_DEVICES`; absent: no GPU is assigned */
  readonly gpus?: readonly string[] | undefined;
  /** the launcher's own environment; the engine gets selected variables of it */
  readonly env: NodeJS.ProcessEnv;
}

/** Seconds that vLLM lets running answers finish after SIGTERM; with its default of 0 it hung in most tests. */
const ENGINE_SHUTDOWN_SECONDS = 30;

/** Arguments that are left out if this release of vLLM refuses them: it serves without them. */
const OPTIONAL = {
  '--shutdown-timeout': [String(ENGINE_SHUTDOWN_SECONDS)],
  '--enable-prompt-tokens-details': [],
  '--enable-request-id-headers': [],
} as const;

/**
 * The command that starts one engine: vLLM and the simulator get the same arguments (source: `vllm serve`, the same
 * spelling in 0.24 to 0.33). It needs no key because no other user can enter the folder of its socket.
 */
export function engineCommand(card: ModelCard, options: CommandOptions): EngineCommand {
  const serve = [
    'serve',
    options.weights ?? card.engine.weights,
    '--served-model-name',
    card.name,
    ...card.aliases,
    ...addressArgs(options.address),
    '--max-model-len',
    String(options.maxModelLen ?? card.limits.context_tokens),
    '--max-num-seqs',
    String(options.slots.text + options.slots.image),
    ...gpuArgs(options),
    ...imageArgs(card),
    ...trustArgs(card, options.weights === undefined),
    ...Object.entries(OPTIONAL).flatMap(([flag, values]) => (options.without?.has(flag) ? [] : [flag, ...values])),
    ...card.engine.args,
    ...options.extraArgs,
  ];
  const env = engineEnvironment(options);
  return options.kind === 'vllm'
    ? { file: 'vllm', argv: serve, env }
    : { file: process.execPath, argv: [options.simulatorPath, ...serve], env };
}

/**
 * @param lines the last output of an engine that exited because of its arguments
 * @returns the optional arguments that it refused, to leave out next time; none if it also refused a required one
 */
export function dispensable(lines: readonly string[]): string[] {
  const refused = lines
    .map((line) => /unrecognized arguments: (.+)/.exec(line)?.[1])
    .findLast((found) => found !== undefined);
  const flags = (refused ?? '').split(/\s+/).filter((word) => word.startsWith('--'));
  return flags.every((flag) => flag in OPTIONAL) ? flags : [];
}

function addressArgs(address: EngineAddress): string[] {
  return 'socket' in address ? ['--uds', address.socket] : ['--host', '127.0.0.1', '--port', String(address.port)];
}

function gpuArgs({ tensorParallel = 1, gpuMemoryUtilization }: CommandOptions): string[] {
  return [
    ...(tensorParallel === 1 ? [] : ['--tensor-parallel-size', String(tensorParallel)]),
    ...(gpuMemoryUtilization === undefined ? [] : ['--gpu-memory-utilization', String(gpuMemoryUtilization)]),
  ];
}

function imageArgs(card: ModelCard): string[] {
  if (!card.modalities.input.includes('image')) return [];
  const { mm_processor_kwargs: kwargs } = card.engine;
  return [
    '--limit-mm-per-prompt',
    JSON.stringify({ image: card.limits.images_per_conversation }),
    ...(kwargs === undefined ? [] : ['--mm-processor-kwargs', JSON.stringify(kwargs)]),
  ];
}

/** Pins the hub's code together with the weights, because vLLM executes it. */
function trustArgs(card: ModelCard, ownWeights: boolean): string[] {
  const { revision, trust_remote_code: trusted } = card.engine;
  const args = trusted ? ['--trust-remote-code'] : [];
  if (!ownWeights || revision === undefined) return args;
  args.push('--revision', revision, '--tokenizer-revision', revision);
  if (trusted) args.push('--code-revision', revision);
  return args;
}

const PASSED = new Set(
  [
    'PATH HOME USER LOGNAME LANG LC_ALL TMPDIR LD_LIBRARY_PATH XDG_CACHE_HOME',
    // for the download of weights
    'SSL_CERT_FILE HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy',
  ].flatMap((names) => names.split(' ')),
);
const PASSED_PREFIXES = ['HF_', 'TRANSFORMERS_', 'CUDA_', 'NVIDIA_', 'NCCL_', 'VLLM_', 'TORCH', 'TRITON_', 'OTEL_'];

/** Our own values; they override the launcher's environment. */
const OURS = {
  VLLM_NO_USAGE_STATS: '1',
  DO_NOT_TRACK: '1',
  /** above the idle time of our connections, in seconds */
  VLLM_HTTP_TIMEOUT_KEEP_ALIVE: '65',
  /** pictures arrive as data URIs; if a URL slips through, vLLM follows no redirect and does not retry */
  VLLM_MEDIA_URL_ALLOW_REDIRECTS: '0',
  VLLM_MEDIA_FETCH_MAX_RETRIES: '1',
  PYTHONUNBUFFERED: '1',
} as const;

function engineEnvironment({ kind, gpus, cpus, env }: CommandOptions): Record<string, string> {
  const prefixes = kind === 'simulator' ? [...PASSED_PREFIXES, 'PENSTOCK_SIM_'] : PASSED_PREFIXES;
  const chosen: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !(PASSED.has(name) || prefixes.some((prefix) => name.startsWith(prefix)))) continue;
    // An engine key would lock out our own dispatchers.
    if (name === 'VLLM_API_KEY' || isServiceLink(name, value)) continue;
    chosen[name] = value;
  }
  return {
    ...chosen,
    ...OURS,
    ...(cpus === undefined ? {} : { OMP_NUM_THREADS: String(cpus) }),
    ...(gpus === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpus.join(',') }),
  };
}

/** Kubernetes injects `VLLM_PORT=tcp://…`, `VLLM_SERVICE_HOST` and the like for a Service called `vllm`. */
function isServiceLink(name: string, value: string): boolean {
  return (
    value.startsWith('tcp://') ||
    value.startsWith('udp://') ||
    value.startsWith('sctp://') ||
    /_SERVICE_(HOST|PORT)|_PORT_\d+_/.test(name)
  );
}
