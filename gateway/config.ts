import { z } from 'zod';
import { LOG_LEVELS } from '#runtime/log';
import { loadSettings, setting } from '#runtime/settings';

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

const Fields = z.object({
  /** queue, registry, control and, without a second URL, bodies and replies */
  GATEWAY_REDIS_URL: setting.redisUrl,
  /** a second Redis for bodies and reply streams, which need no append-only file */
  GATEWAY_REPLY_REDIS_URL: setting.redisUrl.optional(),
  /** the public API; other addresses than loopback need GATEWAY_KEYS_FILE */
  GATEWAY_HOST: z.string().default('127.0.0.1'),
  /** its port */
  GATEWAY_PORT: setting.port.default(8080),
  /** probes, status and metrics */
  GATEWAY_INTERNAL_HOST: z.string().default('127.0.0.1'),
  /** their port */
  GATEWAY_INTERNAL_PORT: setting.port.default(8081),
  /** folder of model cards */
  GATEWAY_MODELS_DIR: z.string().default('deploy/models'),
  /** hashed keys, written by `penstock keys`; changes count without a restart */
  GATEWAY_KEYS_FILE: z.string().optional(),
  /** serve `/tokenize`, which counts the tokens of a prompt */
  GATEWAY_TOKENIZE: setting.flag.default(false),
  /** how long the answer to a request with an Idempotency-Key can be had again; it rests in Redis for as long */
  GATEWAY_IDEMPOTENCY_TTL_MS: setting.milliseconds.default(600_000),
  /** origins whose pages may call from a browser, such as `https://chat.example.com`; `*`: all */
  GATEWAY_CORS_ORIGINS: setting.list.default([]),
  /** debug, info, warn, error or silent */
  GATEWAY_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** what the Azure header `azureml-model-deployment` says */
  GATEWAY_DEPLOYMENT_NAME: z.string().default('penstock'),
  /** largest request body; a larger one is 413 */
  GATEWAY_BODY_LIMIT_BYTES: setting.bytes.default(20_000_000),
  /** waiting requests of one model, in all replicas together; above it 429 */
  GATEWAY_QUEUE_LIMIT_JOBS: setting.count.default(2_000),
  /** bytes of their bodies */
  GATEWAY_QUEUE_LIMIT_BYTES: setting.bytes.default(512 * 1024 * 1024),
  /** bytes of requests that wait, kept in the memory of one replica; above it 503 */
  GATEWAY_BODY_MEMORY_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** from arrival to the end of the answer */
  GATEWAY_REQUEST_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** the same for /score, where Azure's longest is 180 s */
  GATEWAY_SCORE_TIMEOUT_MS: setting.milliseconds.default(180_000),
  /** longest silence between two pieces of an answer */
  GATEWAY_IDLE_TIMEOUT_MS: setting.milliseconds.default(60_000),
  /** how long a request waits while no engine of its model is ready; a node may be starting */
  GATEWAY_NO_ENGINE_HOLD_MS: setting.milliseconds.default(30_000),
  /** a comment line on a stream that has been silent this long, and its headers if not sent yet */
  GATEWAY_KEEP_ALIVE_MS: setting.milliseconds.default(15_000),
  /** unsent bytes at which a client that does not read is given up */
  GATEWAY_SLOW_CLIENT_BYTES: setting.bytes.default(1024 * 1024),
  /** bytes that one stream keeps of what was sent, so that another engine can go on with it */
  GATEWAY_CONTINUATION_STREAM_BYTES: setting.bytes.default(512 * 1024),
  /** the same for all streams of a replica together */
  GATEWAY_CONTINUATION_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** a stopping gateway goes on serving this long, while `/readyz` tells balancers to send nothing more */
  GATEWAY_DRAIN_DELAY_MS: z.coerce.number().int().nonnegative().default(0),
  /** how long a stopping gateway lets running answers finish */
  GATEWAY_DRAIN_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** a request above the card's largest answer: refuse it, or serve it with the largest */
  GATEWAY_MAX_TOKENS: z.enum(['refuse', 'clamp']).default('refuse'),
  /** largest `n`: a request for several answers is a small batch, which the card forbids unless the operator allows it */
  GATEWAY_MAX_CHOICES: setting.count.max(128).default(1),
  /** an unknown `model`: 404, or the only model served */
  GATEWAY_UNKNOWN_MODEL: z.enum(['refuse', 'single']).default('refuse'),
  /** hosts, addresses or ranges (CIDR) from which images may come although they are not public */
  GATEWAY_IMAGE_ALLOW: setting.list.default([]),
  /** for fetching one image, redirects included */
  GATEWAY_IMAGE_TIMEOUT_MS: setting.milliseconds.default(10_000),
  /** largest image */
  GATEWAY_IMAGE_LIMIT_BYTES: setting.bytes.default(15_000_000),
});
const Settings = Fields.refine((s) => s.GATEWAY_KEYS_FILE !== undefined || LOOPBACK.test(s.GATEWAY_HOST), {
  path: ['GATEWAY_HOST'],
  error: 'an address that others can reach needs keys: name a file of them in GATEWAY_KEYS_FILE',
});
export type GatewayConfig = Readonly<z.infer<typeof Settings>>;

/** Reads the settings once, at start. @throws Error that names every bad or unknown `GATEWAY_*` variable */
export function loadConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  return loadSettings('GATEWAY_', Settings, env);
}
