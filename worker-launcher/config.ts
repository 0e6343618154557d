import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LOG_LEVELS } from '#runtime/log';
import { loadSettings, setting } from '#runtime/settings';

const Settings = z.object({
  /** the gateways' Redis: queue, registry, control */
  WORKER_REDIS_URL: setting.redisUrl,
  /** user to log in as, where the URL names none */
  WORKER_REDIS_USERNAME: z.string().optional(),
  /** its password, as it is: nothing needs to be encoded */
  WORKER_REDIS_PASSWORD: z.string().optional(),
  /** file with the password, in place of the above */
  WORKER_REDIS_PASSWORD_FILE: z.string().optional(),
  /** certificate authorities (PEM) to trust for rediss:// in place of the system's */
  WORKER_REDIS_CA_FILE: z.string().optional(),
  /** first part of every key, the same as the gateways' */
  WORKER_REDIS_PREFIX: setting.keyPrefix.default('penstock'),
  /** how long a start waits for Redis to answer */
  WORKER_REDIS_WAIT_MS: setting.milliseconds.default(5_000),
  /** the gateways' second Redis, if they have one */
  WORKER_REPLY_REDIS_URL: setting.redisUrl.optional(),
  /** how to log in there, as above */
  WORKER_REPLY_REDIS_USERNAME: z.string().optional(),
  WORKER_REPLY_REDIS_PASSWORD: z.string().optional(),
  WORKER_REPLY_REDIS_PASSWORD_FILE: z.string().optional(),
  WORKER_REPLY_REDIS_CA_FILE: z.string().optional(),
  /** probes, status and metrics */
  WORKER_INTERNAL_HOST: z.string().default('127.0.0.1'),
  /** their port */
  WORKER_INTERNAL_PORT: setting.port.default(8082),
  /** further names by which they are reached, besides `localhost` and addresses */
  WORKER_HOSTS: setting.list.default([]),
  /** folder of model cards, the same as the gateways' */
  WORKER_MODELS_DIR: z.string().default('deploy/models'),
  /** name of the card to serve; needed when the folder holds several */
  WORKER_MODEL: z.string().optional(),
  /** debug, info, warn, error or silent */
  WORKER_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** `auto`: vLLM where a GPU and the `vllm` command are, else the simulator */
  WORKER_ENGINE: z.enum(['auto', 'vllm', 'simulator']).default('auto'),
  /** Azure VM size of this machine; default: Azure's instance metadata is asked */
  WORKER_SKU: z.string().optional(),
  /** serve on a machine that the card does not allow, with a warning */
  WORKER_OVERRIDE_SKU: setting.flag.default(false),
  /** file that says what this machine is, in place of asking it; the form is that of `penstock preflight --json` under `facts` */
  WORKER_FACTS_FILE: z.string().optional(),
  /** GPUs of one engine; default: the fewest that one full context fits on */
  WORKER_TENSOR_PARALLEL: setting.count.optional(),
  /** longest context of an engine in tokens, in place of the card's */
  WORKER_MAX_MODEL_LEN: setting.count.optional(),
  /** part of a GPU's memory that an engine takes, 0 to 1; default: vLLM's 0.92 */
  WORKER_GPU_MEMORY_UTILIZATION: setting.share.optional(),
  /** CPU threads of an engine (`OMP_NUM_THREADS`); default: left to vLLM */
  WORKER_ENGINE_CPUS: setting.count.optional(),
  /** TCP port of the first engine on loopback, further ones take the next; default: none, engines listen on unix sockets in WORKER_STATE_DIR */
  WORKER_ENGINE_PORT: setting.port.optional(),
  /** engine processes; default: one for each group of GPUs, one without GPUs */
  WORKER_ENGINES: setting.count.optional(),
  /** folder or hub name of the weights, in place of the card's */
  WORKER_WEIGHTS: z.string().optional(),
  /** further engine arguments, split at blanks */
  WORKER_ENGINE_ARGS: z.string().default(''),
  /** text requests that one engine works on at a time, in place of the card's */
  WORKER_MAX_IN_FLIGHT_TEXT: setting.count.optional(),
  /** the same for requests with an image */
  WORKER_MAX_IN_FLIGHT_IMAGE: setting.count.optional(),
  /** name of this node, for status and metrics */
  WORKER_NODE: z.string().default(hostname()),
  /** the pool that it belongs to */
  WORKER_POOL: z.string().default('default'),
  /** folder for this user alone: the engines' sockets, and notes of their process groups for the sweep of the next start */
  WORKER_STATE_DIR: z.string().default(join(tmpdir(), 'penstock-worker')),
  /** from spawn to ready; an engine that takes longer is killed and started anew */
  WORKER_START_TIMEOUT_MS: setting.milliseconds.default(900_000),
  /**
   * an engine with work that makes no step for this long is out of dispatch; default 5 s, 30 s without a GPU. A step
   * computes some thousand tokens, well below a second on a GPU; a kernel that is compiled on first use takes seconds
   */
  WORKER_STALL_MS: setting.milliseconds.optional(),
  /** and after this long it is replaced; default four times WORKER_STALL_MS */
  WORKER_HANG_MS: setting.milliseconds.optional(),
  /** an idle engine is made to generate a few tokens this often, as a hang does not show without work */
  WORKER_IDLE_CANARY_MS: setting.milliseconds.default(30_000),
  /**
   * an engine whose siblings answer, and that gives nothing to any new request for so long, is asked for a few tokens, and
   * replaced if it gives none in as long; what waits on it runs elsewhere. Default twice WORKER_STALL_MS. Long prompts
   * have more time: a second for 8 kB
   */
  WORKER_MUTE_MS: setting.milliseconds.optional(),
  /**
   * an engine that is so many times slower than the median of its siblings on the same worker, in time between tokens or
   * to the first one, is out of dispatch, and replaced if it stays slow when its running answers are finished
   */
  WORKER_SLOW_FACTOR: setting.count.default(4),
  /** over so long: engines with fewer than 20 tokens and 5 answers in it are not compared */
  WORKER_SLOW_WINDOW_MS: setting.milliseconds.default(30_000),
  /** how often the driver is asked for the GPUs; one that falls out takes its engine out of service */
  WORKER_GPU_CHECK_MS: setting.milliseconds.default(30_000),
  /** how long a stopping launcher lets running answers finish */
  WORKER_DRAIN_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** longest wait of an engine that was told to stop, before its process group is killed */
  WORKER_ENGINE_STOP_TIMEOUT_MS: setting.milliseconds.default(40_000),
});
export type WorkerConfig = Readonly<z.infer<typeof Settings>>;

/** Reads the settings once, at start. @throws Error that names every bad or unknown `WORKER_*` variable */
export function loadConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  return loadSettings('WORKER_', Settings, env);
}
