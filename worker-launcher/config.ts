import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LOG_LEVELS } from '#runtime/log';
import { loadSettings, setting } from '#runtime/settings';

const Settings = z.object({
  /** the gateways' Redis: queue, registry, control */
  WORKER_REDIS_URL: setting.redisUrl,
  /** user name for the login, if the URL has none */
  WORKER_REDIS_USERNAME: z.string().optional(),
  /** `entra`: the password is a token of Entra ID, which is renewed; the user is the object id of the identity */
  WORKER_REDIS_AUTH: z.enum(['password', 'entra']).optional(),
  /** its password, without URL encoding */
  WORKER_REDIS_PASSWORD: z.string().optional(),
  /** file with the password, instead of WORKER_REDIS_PASSWORD; a change needs no restart */
  WORKER_REDIS_PASSWORD_FILE: z.string().optional(),
  /** certificate authorities (PEM) to trust for rediss://, instead of the system's */
  WORKER_REDIS_CA_FILE: z.string().optional(),
  /** own certificate and its key (PEM), for a Redis that asks for one */
  WORKER_REDIS_CERT_FILE: z.string().optional(),
  WORKER_REDIS_KEY_FILE: z.string().optional(),
  /** further nodes of a Redis Cluster that has several addresses */
  WORKER_REDIS_CLUSTER_NODES: setting.places.optional(),
  /** Sentinels; the host of the URL is the name of the primary */
  WORKER_REDIS_SENTINELS: setting.places.optional(),
  /** login at the Sentinels, if they need one */
  WORKER_REDIS_SENTINEL_USERNAME: z.string().optional(),
  WORKER_REDIS_SENTINEL_PASSWORD: z.string().optional(),
  WORKER_REDIS_SENTINEL_PASSWORD_FILE: z.string().optional(),
  /** first part of every key, the same as the gateways' */
  WORKER_REDIS_PREFIX: setting.keyPrefix.default('penstock'),
  /** timeout of a start: longest wait for an answer from Redis */
  WORKER_REDIS_WAIT_MS: setting.milliseconds.default(5_000),
  /** the gateways' second Redis, if they have one */
  WORKER_REPLY_REDIS_URL: setting.redisUrl.optional(),
  /** its login, as above */
  WORKER_REPLY_REDIS_USERNAME: z.string().optional(),
  WORKER_REPLY_REDIS_AUTH: z.enum(['password', 'entra']).optional(),
  WORKER_REPLY_REDIS_PASSWORD: z.string().optional(),
  WORKER_REPLY_REDIS_PASSWORD_FILE: z.string().optional(),
  WORKER_REPLY_REDIS_CA_FILE: z.string().optional(),
  WORKER_REPLY_REDIS_CERT_FILE: z.string().optional(),
  WORKER_REPLY_REDIS_KEY_FILE: z.string().optional(),
  WORKER_REPLY_REDIS_CLUSTER_NODES: setting.places.optional(),
  WORKER_REPLY_REDIS_SENTINELS: setting.places.optional(),
  WORKER_REPLY_REDIS_SENTINEL_USERNAME: z.string().optional(),
  WORKER_REPLY_REDIS_SENTINEL_PASSWORD: z.string().optional(),
  WORKER_REPLY_REDIS_SENTINEL_PASSWORD_FILE: z.string().optional(),
  /** probes, status and metrics */
  WORKER_INTERNAL_HOST: z.string().default('127.0.0.1'),
  /** their port */
  WORKER_INTERNAL_PORT: setting.port.default(8082),
  /** further host names of this port, besides `localhost` and IP addresses */
  WORKER_HOSTS: setting.list.default([]),
  /** folder of model cards, the same as the gateways' */
  WORKER_MODELS_DIR: z.string().default('deploy/models'),
  /** name of the card to serve; required if the folder has several cards */
  WORKER_MODEL: z.string().optional(),
  /** debug, info, warn, error or silent */
  WORKER_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** file that gets one line for each administrative act, and is only appended to; `-`: standard output */
  WORKER_AUDIT_FILE: z.string().optional(),
  /** `auto`: vLLM if this machine has a GPU and the `vllm` command, else the simulator */
  WORKER_ENGINE: z.enum(['auto', 'vllm', 'simulator']).default('auto'),
  /** Azure VM size of this machine; default: read from Azure's instance metadata */
  WORKER_SKU: z.string().optional(),
  /** serve on a machine that the card does not allow; the launcher logs a warning */
  WORKER_OVERRIDE_SKU: setting.flag.default(false),
  /** file with the facts of this machine, instead of detection; same form as `facts` in `penstock preflight --json` */
  WORKER_FACTS_FILE: z.string().optional(),
  /** GPUs of one engine; default: the fewest GPUs whose memory holds one full context */
  WORKER_TENSOR_PARALLEL: setting.count.optional(),
  /** longest context of an engine in tokens, instead of the card's */
  WORKER_MAX_MODEL_LEN: setting.count.optional(),
  /** share of a GPU's memory that an engine uses, 0 to 1; default: vLLM's 0.92 */
  WORKER_GPU_MEMORY_UTILIZATION: setting.share.optional(),
  /** CPU threads of an engine (`OMP_NUM_THREADS`); default: vLLM decides */
  WORKER_ENGINE_CPUS: setting.count.optional(),
  /** TCP port of the first engine on loopback; each further engine takes the next port. Default: unix sockets in WORKER_STATE_DIR */
  WORKER_ENGINE_PORT: setting.port.optional(),
  /** engine processes; default: one for each group of GPUs, or one if there is no GPU */
  WORKER_ENGINES: setting.count.optional(),
  /** folder or hub name of the weights, instead of the card's */
  WORKER_WEIGHTS: z.string().optional(),
  /**
   * how the weights are compared with the list of the card, if it has one: `sizes`, `hashes` or `off`. `sizes` includes the
   * hashes once after a download
   */
  WORKER_WEIGHTS_CHECK: z.enum(['sizes', 'hashes', 'off']).default('sizes'),
  /** further engine arguments, split at blanks */
  WORKER_ENGINE_ARGS: z.string().default(''),
  /** text requests that one engine works on at a time, instead of the card's number */
  WORKER_MAX_IN_FLIGHT_TEXT: setting.count.optional(),
  /** image requests that one engine works on at a time, instead of the card's number */
  WORKER_MAX_IN_FLIGHT_IMAGE: setting.count.optional(),
  /** name of this node, for status and metrics */
  WORKER_NODE: z.string().default(hostname()),
  /** pool that this node belongs to */
  WORKER_POOL: z.string().default('default'),
  /** private folder of this user: the engines' sockets, and the list of their process groups, from which the next start kills orphans */
  WORKER_STATE_DIR: z.string().default(join(tmpdir(), 'penstock-worker')),
  /** start timeout of an engine, from spawn to ready; the launcher kills and restarts an engine that takes longer */
  WORKER_START_TIMEOUT_MS: setting.milliseconds.default(900_000),
  /**
   * if a busy engine makes no step for this long, it gets no more requests. A step computes some thousand tokens in well
   * below a second on a GPU; compiling a kernel on first use takes seconds. Default: 5,000 ms, without a GPU 30,000 ms
   */
  WORKER_STALL_MS: setting.milliseconds.optional(),
  /** if it makes no step for this long, the launcher replaces it; default four times WORKER_STALL_MS */
  WORKER_HANG_MS: setting.milliseconds.optional(),
  /** interval at which an idle engine must generate a few tokens, because a hang does not show without work */
  WORKER_IDLE_CANARY_MS: setting.milliseconds.default(30_000),
  /**
   * how long an engine may send nothing to any new request, or to most of its begun answers. Then the launcher requests a
   * few tokens from it. If they do not arrive within the same time, the launcher replaces the engine, and its requests run
   * elsewhere. Long prompts get more time: 1 s per 8 kB. Default: twice WORKER_STALL_MS
   */
  WORKER_MUTE_MS: setting.milliseconds.optional(),
  /**
   * an engine gets no more requests if it is this many times slower than the median of its siblings on the same worker.
   * The time between tokens and the time to the first one count. If it is still slow after its running answers, the
   * launcher replaces it
   */
  WORKER_SLOW_FACTOR: setting.count.default(4),
  /** window of that comparison: engines with fewer than 20 tokens and 5 answers in it are not compared */
  WORKER_SLOW_WINDOW_MS: setting.milliseconds.default(30_000),
  /** interval at which the launcher checks the GPUs with the driver; a lost GPU takes its engine out of service */
  WORKER_GPU_CHECK_MS: setting.milliseconds.default(30_000),
  /** drain timeout: how long a stopping launcher lets running answers finish */
  WORKER_DRAIN_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** stop timeout of an engine: time from SIGTERM until its process group is killed */
  WORKER_ENGINE_STOP_TIMEOUT_MS: setting.milliseconds.default(40_000),
});
export type WorkerConfig = Readonly<z.infer<typeof Settings>>;

/** Reads the settings once, at start. @throws Error that names every bad or unknown `WORKER_*` variable */
export function loadConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  return loadSettings('WORKER_', Settings, env);
}
