import { z } from 'zod';
import { parseFaults, type FaultSet } from './fault-set.ts';
import { FlagError, parseFlags, type FlagKind, type FlagValue } from './flags.ts';

/** Flags of the simulator itself. Each is also a variable (`--sim-ttft-ms`, `PENSTOCK_SIM_TTFT_MS`). */
const OWN_FLAGS = {
  'sim-ttft-ms': 'number',
  'sim-itl-ms': 'number',
  'sim-merge-every': 'integer',
  'sim-vllm-version': 'text',
  'sim-architecture': 'text',
  'sim-profile': 'text',
  'sim-start-ms': 'number',
  'sim-core-process': 'switch',
  'sim-faults': 'text',
  'sim-ledger': 'text',
} as const satisfies Record<string, FlagKind>;
const OWN_PREFIX = 'PENSTOCK_SIM_';

const MODEL_CONTEXT = 131_072;
/** KV-cache tokens beside this model on a GPU with 80 GB (measured), and the bytes of one token. */
const KV_TOKENS = 170_155;
const KV_BYTES_PER_TOKEN = 393_216;

const count = z.number().int().positive();
const imageLimit = z.union([
  z.number().int().min(0),
  z.object({ count: z.number().int().min(0) }).transform((o) => o.count),
]);

const Flags = z.object({
  'served-model-name': z.array(z.string()).optional(),
  host: z.string().default('0.0.0.0'),
  port: z.number().int().min(0).max(65_535).default(8000),
  uds: z.string().optional(),
  'api-key': z.array(z.string()).default([]),
  'enable-request-id-headers': z.boolean().default(false),
  'enable-server-load-tracking': z.boolean().default(false),
  'enable-prompt-tokens-details': z.boolean().default(false),
  'enable-force-include-usage': z.boolean().default(false),
  'enable-per-request-metrics': z.boolean().default(false),
  'enable-log-requests': z.boolean().default(false),
  'enable-auto-tool-choice': z.boolean().default(false),
  'tool-call-parser': z.string().optional(),
  'trust-request-chat-template': z.boolean().default(false),
  'trust-request-mm-kwargs': z.boolean().default(false),
  'sse-keep-alive-interval': z.number().min(0).default(0),
  'stream-interval': count.default(1),
  'shutdown-timeout': z.number().int().min(0).default(0),
  'max-model-len': z.number().int().default(MODEL_CONTEXT),
  'max-logprobs': z.number().int().default(20),
  'limit-mm-per-prompt': z.object({ image: imageLimit.optional() }).default({}),
  'language-model-only': z.boolean().default(false),
  'mm-processor-kwargs': z.object({ num_crops: count.default(16) }).default({ num_crops: 16 }),
  'allowed-local-media-path': z.string().optional(),
  'allowed-media-domains': z.array(z.string()).optional(),
  'kv-cache-memory-bytes': count.optional(),
  'block-size': count.default(16),
  'max-num-seqs': count.default(256),
  'max-num-batched-tokens': count.default(2048),
  'max-num-queued-reqs': count.optional(),
  'max-num-queued-tokens': count.optional(),
  'scheduling-policy': z.enum(['fcfs', 'priority']).default('fcfs'),
  'sim-ttft-ms': z.number().min(0).default(0),
  'sim-itl-ms': z.number().min(0).default(0),
  'sim-merge-every': z.number().int().min(0).default(0),
  'sim-vllm-version': z.enum(['0.32', '0.33']).default('0.33'),
  'sim-architecture': z.enum(['phi3v', 'phi3']).default('phi3v'),
  'sim-profile': z.enum(['none', 'a100', 'h100']).default('none'),
  'sim-start-ms': z.number().min(0).default(0),
  'sim-core-process': z.boolean().default(false),
  'sim-faults': z.string().default(''),
  'sim-ledger': z.string().default(''),
});

const switchedOn = z.stringbool().default(false);
const Environment = z.object({
  VLLM_API_KEY: z.string().optional(),
  VLLM_IMAGE_FETCH_TIMEOUT: z.coerce.number().positive().default(5),
  VLLM_MEDIA_FETCH_MAX_RETRIES: z.coerce.number().int().positive().default(3),
  VLLM_MEDIA_URL_ALLOW_REDIRECTS: z.stringbool().default(true),
  VLLM_MAX_IMAGE_PIXELS: z.coerce.number().int().positive().default(178_956_970),
  VLLM_HTTP_TIMEOUT_KEEP_ALIVE: z.coerce.number().positive().default(5),
  VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS: z.coerce.number().positive().default(300),
  VLLM_KEEP_ALIVE_ON_ENGINE_DEATH: switchedOn,
  VLLM_SERVER_DEV_MODE: switchedOn,
  VLLM_ALLOW_LONG_MAX_MODEL_LEN: switchedOn,
});

/** All settings of one run, read once at the start. Names follow vLLM's flags; names of times end in their unit. */
export type SimulatorSettings = ReturnType<typeof loadSettings>;

/** An error that vLLM finds only while it starts; exit code 1. */
export class StartError extends Error {}

/**
 * @param argv the words after `serve`
 * @throws FlagError for flags that are refused immediately (exit code 2)
 * @throws StartError for a context that is longer than the model's (exit code 1)
 */
export function loadSettings(argv: readonly string[], env: NodeJS.ProcessEnv) {
  const { words, values } = parseFlags(argv, OWN_FLAGS);
  const merged = new Map([...ownEnvironment(env), ...values]);
  const parsed = Flags.safeParse(Object.fromEntries(merged));
  if (!parsed.success) throw new FlagError(parsed.error.issues.map(flagProblem).join('\n'));
  const flags = parsed.data;
  const vllm = Environment.parse(Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')));
  const model = words[0] ?? textOf(values.get('model')) ?? 'microsoft/Phi-3-vision-128k-instruct';
  if (words.length > 1) throw new FlagError(`vllm: error: unrecognized arguments: ${words.slice(1).join(' ')}`);
  const faults = readFaultList(flags['sim-faults']);
  const isVision = flags['sim-architecture'] === 'phi3v';
  return Object.freeze({
    model,
    names: flags['served-model-name'] ?? [model],
    host: flags.host,
    port: flags.port,
    socketPath: flags.uds,
    apiKeys: [...flags['api-key'], ...(vllm.VLLM_API_KEY === undefined ? [] : [vllm.VLLM_API_KEY])],
    maxModelLength: contextLength(flags['max-model-len'], vllm.VLLM_ALLOW_LONG_MAX_MODEL_LEN),
    maxLogprobs: flags['max-logprobs'],
    isVision,
    imageLimit: flags['language-model-only'] ? 0 : (flags['limit-mm-per-prompt'].image ?? 999),
    numCrops: flags['mm-processor-kwargs'].num_crops,
    maxRunning: flags['max-num-seqs'],
    maxBatchedTokens: flags['max-num-batched-tokens'],
    maxQueuedRequests: flags['max-num-queued-reqs'],
    maxQueuedTokens: flags['max-num-queued-tokens'],
    hasPriorities: flags['scheduling-policy'] === 'priority',
    blockSize: flags['block-size'],
    kvTokens:
      flags['kv-cache-memory-bytes'] === undefined
        ? KV_TOKENS
        : Math.floor(flags['kv-cache-memory-bytes'] / KV_BYTES_PER_TOKEN),
    promptTokensDetails: flags['enable-prompt-tokens-details'],
    requestIdHeaders: flags['enable-request-id-headers'],
    loadTracking: flags['enable-server-load-tracking'],
    forceUsage: flags['enable-force-include-usage'],
    perRequestMetrics: flags['enable-per-request-metrics'],
    logRequests: flags['enable-log-requests'],
    tokensPerEvent: flags['stream-interval'],
    keepAliveSeconds: flags['sse-keep-alive-interval'],
    shutdownTimeoutSeconds: flags['shutdown-timeout'],
    autoToolChoice: flags['enable-auto-tool-choice'],
    toolCallParser: flags['tool-call-parser'],
    trustRequestTemplate: flags['trust-request-chat-template'],
    trustRequestMmKwargs: flags['trust-request-mm-kwargs'],
    allowedMediaPath: flags['allowed-local-media-path'],
    allowedMediaDomains: flags['allowed-media-domains'],
    mediaTimeoutSeconds: vllm.VLLM_IMAGE_FETCH_TIMEOUT,
    mediaTries: vllm.VLLM_MEDIA_FETCH_MAX_RETRIES,
    mediaRedirects: vllm.VLLM_MEDIA_URL_ALLOW_REDIRECTS,
    maxImagePixels: vllm.VLLM_MAX_IMAGE_PIXELS,
    idleConnectionSeconds: vllm.VLLM_HTTP_TIMEOUT_KEEP_ALIVE,
    stepTimeoutSeconds: vllm.VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS,
    staysAfterEngineDeath: vllm.VLLM_KEEP_ALIVE_ON_ENGINE_DEATH,
    devMode: vllm.VLLM_SERVER_DEV_MODE,
    version: flags['sim-vllm-version'],
    ttftMs: flags['sim-ttft-ms'],
    itlMs: flags['sim-itl-ms'],
    mergeEvery: flags['sim-merge-every'],
    profile: flags['sim-profile'],
    startMs: faults['slow-start'] ?? flags['sim-start-ms'],
    ledger: flags['sim-ledger'],
    hasCoreProcess: flags['sim-core-process'],
    /** active from the start */
    faults,
    /** `non-default args` of the log */
    given: Object.fromEntries([...values].filter(([name]) => name !== 'api-key')),
  });
}

function contextLength(asked: number, mayExceed: boolean): number {
  if (asked === -1) return MODEL_CONTEXT;
  if (asked <= MODEL_CONTEXT || mayExceed) return asked;
  throw new StartError(
    `pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, User-specified max_model_len (${asked}) is greater than the derived max_model_len (max_position_embeddings=${MODEL_CONTEXT}.0 or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.`,
  );
}

function ownEnvironment(env: NodeJS.ProcessEnv): Map<string, FlagValue> {
  const words: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(OWN_PREFIX) || value === undefined || value === '') continue;
    const flag = `sim-${name.slice(OWN_PREFIX.length).toLowerCase().replaceAll('_', '-')}`;
    if (!(flag in OWN_FLAGS)) throw new FlagError(`vllm: error: unrecognized environment variable: ${name}`);
    words.push(`--${flag}=${value}`);
  }
  return new Map(parseFlags(words, OWN_FLAGS).values);
}

function flagProblem(issue: z.core.$ZodIssue): string {
  return `vllm serve: error: argument --${issue.path.join('.')}: ${issue.message}`;
}

function readFaultList(list: string): FaultSet {
  try {
    return parseFaults(list);
  } catch (error) {
    throw new FlagError(
      `vllm serve: error: argument --sim-faults: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function textOf(value: FlagValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
