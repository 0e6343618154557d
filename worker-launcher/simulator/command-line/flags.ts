/** How a flag takes its value, as in Python's argparse. */
export type FlagKind = 'switch' | 'text' | 'integer' | 'number' | 'json' | 'list' | 'length';
export type FlagValue = boolean | string | number | readonly string[] | { readonly [key: string]: unknown };

/** The reason for which a command line is refused; printed to stderr before exit code 2. */
export class FlagError extends Error {}

/**
 * Flags of `vllm serve` that the simulator obeys or, if they mean nothing without a GPU, accepts and ignores.
 * Source: `vllm serve --help` of 0.32 and 0.33.
 */
const VLLM_FLAGS: Readonly<Record<string, FlagKind>> = {
  model: 'text',
  'served-model-name': 'list',
  host: 'text',
  port: 'integer',
  uds: 'text',
  'api-key': 'list',
  'uvicorn-log-level': 'text',
  'disable-uvicorn-access-log': 'switch',
  'disable-access-log-for-endpoints': 'text',
  'allowed-origins': 'json',
  'root-path': 'text',
  'enable-request-id-headers': 'switch',
  'enable-server-load-tracking': 'switch',
  'enable-prompt-tokens-details': 'switch',
  'enable-force-include-usage': 'switch',
  'enable-per-request-metrics': 'switch',
  'enable-log-requests': 'switch',
  'enable-log-outputs': 'switch',
  'enable-scale-out': 'switch',
  'enable-auto-tool-choice': 'switch',
  'tool-call-parser': 'text',
  'reasoning-parser': 'text',
  'chat-template': 'text',
  'chat-template-content-format': 'text',
  'trust-request-chat-template': 'switch',
  'trust-request-mm-kwargs': 'switch',
  'sse-keep-alive-interval': 'number',
  'stream-interval': 'integer',
  'shutdown-timeout': 'integer',
  'max-log-len': 'integer',
  'disable-log-stats': 'switch',
  'trust-remote-code': 'switch',
  tokenizer: 'text',
  'tokenizer-mode': 'text',
  revision: 'text',
  'code-revision': 'text',
  'tokenizer-revision': 'text',
  'hf-overrides': 'json',
  'hf-token': 'text',
  dtype: 'text',
  quantization: 'text',
  seed: 'integer',
  'max-model-len': 'length',
  'max-logprobs': 'integer',
  'generation-config': 'text',
  'override-generation-config': 'json',
  'enforce-eager': 'switch',
  'enable-sleep-mode': 'switch',
  'load-format': 'text',
  'download-dir': 'text',
  'model-loader-extra-config': 'json',
  'limit-mm-per-prompt': 'json',
  'language-model-only': 'switch',
  'mm-processor-kwargs': 'json',
  'mm-processor-cache-gb': 'number',
  'media-io-kwargs': 'json',
  'allowed-local-media-path': 'text',
  'allowed-media-domains': 'list',
  'tensor-parallel-size': 'integer',
  'pipeline-parallel-size': 'integer',
  'data-parallel-size': 'integer',
  'distributed-executor-backend': 'text',
  'disable-custom-all-reduce': 'switch',
  'gpu-memory-utilization': 'number',
  'kv-cache-memory-bytes': 'length',
  'kv-cache-dtype': 'text',
  'block-size': 'integer',
  'num-gpu-blocks-override': 'integer',
  'enable-prefix-caching': 'switch',
  'enable-chunked-prefill': 'switch',
  'async-scheduling': 'switch',
  'cpu-offload-gb': 'number',
  'max-num-seqs': 'length',
  'max-num-batched-tokens': 'length',
  'max-num-queued-reqs': 'integer',
  'max-num-queued-tokens': 'length',
  'scheduling-policy': 'text',
  'watchdog-config': 'json',
  'attention-backend': 'text',
  'compilation-config': 'json',
  'additional-config': 'json',
  'otlp-traces-endpoint': 'text',
};
/** argparse's one-letter and historic spellings */
const ALIASES: Readonly<Record<string, string>> = {
  tp: 'tensor-parallel-size',
  pp: 'pipeline-parallel-size',
  dp: 'data-parallel-size',
  q: 'quantization',
  cc: 'compilation-config',
};

export interface CommandLine {
  readonly words: readonly string[];
  readonly values: ReadonlyMap<string, FlagValue>;
}

/**
 * Reads a command line as `vllm serve` does: `--flag value`, `--flag=value`, `--no-flag`, underscores for dashes, JSON
 * values also dotted (`--limit-mm-per-prompt.image 1`).
 * @param own further flags, which begin with `sim-`
 * @param removed flags that this version of vLLM no longer takes
 * @throws FlagError with argparse's sentence
 */
export function parseFlags(
  argv: readonly string[],
  own: Readonly<Record<string, FlagKind>>,
  removed: readonly string[] = [],
): CommandLine {
  const known = new Map([...Object.entries(VLLM_FLAGS), ...Object.entries(own)]);
  for (const name of removed) known.delete(name);
  const words: string[] = [];
  const unknown: string[] = [];
  const values = new Map<string, FlagValue>();
  const queue = [...argv];
  while (queue.length > 0) {
    const word = queue.shift() ?? '';
    if (!word.startsWith('-') || /^-\d/.test(word)) {
      words.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const written = (equals < 0 ? word : word.slice(0, equals)).replace(/^--?/, '');
    const [root = '', ...path] = written.split('.');
    const dashed = root.replaceAll('_', '-');
    const name = ALIASES[dashed] ?? dashed;
    const kind = known.get(name);
    if (kind === undefined && known.get(name.replace(/^no-/, '')) === 'switch' && equals < 0) {
      values.set(name.slice('no-'.length), false);
      continue;
    }
    if (kind === undefined || (path.length > 0 && kind !== 'json')) {
      unknown.push(word);
      continue;
    }
    if (kind === 'switch' && equals < 0) {
      values.set(name, true);
      continue;
    }
    const given = equals < 0 ? takeValues(queue, kind, name) : [word.slice(equals + 1)];
    if (path.length > 0) values.set(name, withPath(values.get(name), path, readJsonOrText(given[0] ?? '')));
    else values.set(name, convert(name, kind, given));
  }
  if (unknown.length > 0) throw new FlagError(`vllm: error: unrecognized arguments: ${unknown.join(' ')}`);
  return { words, values };
}

function takeValues(queue: string[], kind: FlagKind, name: string): string[] {
  const taken: string[] = [];
  const isValue = (word: string | undefined): boolean =>
    word !== undefined && (!word.startsWith('-') || /^-\d/.test(word));
  while (isValue(queue[0]) && (kind === 'list' || taken.length === 0)) taken.push(queue.shift() ?? '');
  if (taken.length > 0) return taken;
  throw new FlagError(
    `vllm serve: error: argument --${name}: expected ${kind === 'list' ? 'at least one' : 'one'} argument`,
  );
}

function convert(name: string, kind: FlagKind, given: readonly string[]): FlagValue {
  const value = given[0] ?? '';
  const refuse = (type: string): never => {
    throw new FlagError(`vllm serve: error: argument --${name}: invalid ${type} value: '${value}'`);
  };
  switch (kind) {
    case 'list':
      return given;
    case 'text':
      return value;
    case 'switch':
      return value === 'true' || value === 'True' ? true : refuse('bool');
    case 'integer':
      return /^[-+]?\d+$/.test(value) ? Number(value) : refuse('int');
    case 'number':
      return value.trim() !== '' && Number.isFinite(Number(value)) ? Number(value) : refuse('float');
    case 'length':
      return readLength(value) ?? refuse('human_readable_int_or_auto');
    case 'json':
      return readJson(name, value);
    default:
      return kind satisfies never;
  }
}

/** `131072`, `128K` (times 1024), `128k` (times 1000), `auto` and -1 (largest that fits). */
function readLength(text: string): number | undefined {
  if (text === 'auto') return -1;
  const match = /^(-?\d+(?:\.\d+)?)([kKmMgG]?)$/.exec(text);
  if (match === null) return undefined;
  const suffix = match[2] ?? '';
  const base = suffix === suffix.toUpperCase() ? 1024 : 1000;
  const power = { '': 0, k: 1, m: 2, g: 3 }[suffix.toLowerCase()] ?? 0;
  return Math.round(Number(match[1]) * base ** power);
}

function readJson(name: string, text: string): FlagValue {
  const value = readJsonOrText(text);
  if (typeof value === 'object' && value !== null) return { ...value };
  throw new FlagError(
    `vllm serve: error: argument --${name}: Value ${text} cannot be converted to <function loads at 0x7f672a1e93a0>.`,
  );
}

function readJsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : {};
}

function withPath(before: FlagValue | undefined, path: readonly string[], value: unknown): FlagValue {
  const [key = '', ...rest] = path;
  const object = asRecord(before);
  return { ...object, [key]: rest.length === 0 ? value : withPath(asRecord(object[key]), rest, value) };
}
