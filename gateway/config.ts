import { isIP } from 'node:net';
import { z } from 'zod';
import { LOG_LEVELS } from '#runtime/log';
import { loadSettings, setting } from '#runtime/settings';

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

const isNameServer = (item: string): boolean => {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?$/.exec(item) ?? [];
  return isIP(bracketed ?? plain ?? item) !== 0;
};
const pair = (item: string): readonly [string, string] => {
  const [name = '', card = ''] = item.split('=');
  return [name.trim(), card.trim()];
};

const Pools = z.record(
  z.string().min(1),
  z.record(
    z.string().min(1),
    z.strictObject({
      engines: setting.count,
      text: setting.count.optional(),
      image: setting.countOrNone.optional(),
    }),
  ),
);
const Fields = z.object({
  /** queue, registry, control and, without a second URL, bodies and replies */
  GATEWAY_REDIS_URL: setting.redisUrl,
  /** user to log in as, where the URL names none */
  GATEWAY_REDIS_USERNAME: z.string().optional(),
  /** its password, as it is: nothing needs to be encoded */
  GATEWAY_REDIS_PASSWORD: z.string().optional(),
  /** file with the password, in place of the above */
  GATEWAY_REDIS_PASSWORD_FILE: z.string().optional(),
  /** certificate authorities (PEM) to trust for rediss:// in place of the system's */
  GATEWAY_REDIS_CA_FILE: z.string().optional(),
  /** first part of every key, for two installations on one Redis; the same in all programs of one */
  GATEWAY_REDIS_PREFIX: setting.keyPrefix.default('penstock'),
  /** how long a start waits for Redis to answer */
  GATEWAY_REDIS_WAIT_MS: setting.milliseconds.default(5_000),
  /** a second Redis for prompts, pictures and answers, which need no file */
  GATEWAY_REPLY_REDIS_URL: setting.redisUrl.optional(),
  /** how to log in there, as above */
  GATEWAY_REPLY_REDIS_USERNAME: z.string().optional(),
  GATEWAY_REPLY_REDIS_PASSWORD: z.string().optional(),
  GATEWAY_REPLY_REDIS_PASSWORD_FILE: z.string().optional(),
  GATEWAY_REPLY_REDIS_CA_FILE: z.string().optional(),
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
  /** secret in the salts that keep callers' prefixes apart in the engines' caches; absent: the replicas share one in Redis */
  GATEWAY_CACHE_SALT_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
  /** file with the secret, in place of the above */
  GATEWAY_CACHE_SALT_SECRET_FILE: z.string().optional(),
  /** serve `/tokenize`, which counts the tokens of a prompt */
  GATEWAY_TOKENIZE: setting.flag.default(false),
  /** how long the answer to a request with an Idempotency-Key can be had again; it rests in Redis for as long */
  GATEWAY_IDEMPOTENCY_TTL_MS: setting.milliseconds.default(600_000),
  /** without keys: further names by which callers reach the gateway, besides `localhost` and loopback addresses */
  GATEWAY_HOSTS: setting.list.default([]),
  /** origins whose pages may call from a browser, such as `https://chat.example.com`; `*`: all */
  GATEWAY_CORS_ORIGINS: setting.list.default([]),
  /** debug, info, warn, error or silent */
  GATEWAY_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** this gateway as one deployment: what `azureml-model-deployment` says when no other was chosen */
  GATEWAY_DEPLOYMENT_NAME: z.string().default('penstock'),
  /** `name=card,…`: further names by which Azure's clients choose a model, by path or header */
  GATEWAY_DEPLOYMENTS: setting.list
    .pipe(z.array(z.string().regex(/^[^=\s]+\s*=\s*[^=\s]+$/, 'each must be NAME=CARD')))
    .transform((items) => items.map(pair))
    .default([]),
  /** failures on /score: as the endpoint says them, or 200 `{}` where Azure's container hid them */
  GATEWAY_SCORE_ERRORS: z.enum(['endpoint', 'strict-compat']).default('endpoint'),
  /** from the first byte of a request to the end of its headers; above it 408 */
  GATEWAY_HEAD_TIMEOUT_MS: setting.milliseconds.default(15_000),
  /** from the first byte of a request to the last one of its body; above it 408 */
  GATEWAY_BODY_TIMEOUT_MS: setting.milliseconds.default(60_000),
  /** open connections; above it the longest incomplete one is closed, then the longest idle one */
  GATEWAY_CONNECTIONS: setting.count.default(10_000),
  /** of these, connections of one address (IPv6: one /64) that have not sent a whole request; above it the oldest is closed */
  GATEWAY_CONNECTIONS_PER_ADDRESS: setting.count.default(1_000),
  /** largest request body; a larger one is 413 */
  GATEWAY_BODY_LIMIT_BYTES: setting.bytes.default(20_000_000),
  /** waiting requests of one model, in all replicas together; above it 429 */
  GATEWAY_QUEUE_LIMIT_JOBS: setting.count.default(2_000),
  /** bytes of their bodies */
  GATEWAY_QUEUE_LIMIT_BYTES: setting.bytes.default(512 * 1024 * 1024),
  /** bytes of a body outside its pictures; above it 413 */
  GATEWAY_BODY_LIMIT_TEXT_BYTES: setting.bytes.default(4 * 1024 * 1024),
  /** lists and objects of a body inside each other */
  GATEWAY_BODY_LIMIT_DEPTH: setting.count.default(100),
  /** elements of all lists and objects of a body together; token ids are most of them */
  GATEWAY_BODY_LIMIT_VALUES: setting.count.default(262_144),
  /** texts of a body, names of fields included */
  GATEWAY_BODY_LIMIT_TEXTS: setting.count.default(32_768),
  /** bytes of bodies and pictures, read or waiting, in the memory of one replica; above it 503 */
  GATEWAY_BODY_MEMORY_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** most of it for the requests of one key */
  GATEWAY_BODY_MEMORY_KEY_BYTES: setting.bytes.default(128 * 1024 * 1024),
  /** from arrival to the end of the answer */
  GATEWAY_REQUEST_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** the same for /score, where Azure's longest is 180 s */
  GATEWAY_SCORE_TIMEOUT_MS: setting.milliseconds.default(180_000),
  /** longest silence between two pieces of an answer */
  GATEWAY_IDLE_TIMEOUT_MS: setting.milliseconds.default(60_000),
  /**
   * for autoscaling, what a worker of each pool serves: JSON such as `{"nc48": {"Phi-3-vision-128k-instruct": {"engines": 2}}}`,
   * with `text` and `image` beside `engines` for other places of an engine than it reports
   */
  GATEWAY_POOLS: setting.json(Pools).default({}),
  /** how long a request waits while no engine of its model is ready; a node may be starting */
  GATEWAY_NO_ENGINE_HOLD_MS: setting.milliseconds.default(30_000),
  /** a comment line (Azure inference: an empty event) on a stream silent so long, with its headers if not sent yet */
  GATEWAY_KEEP_ALIVE_MS: setting.milliseconds.default(15_000),
  /** unsent bytes at which a client that does not read is given up */
  GATEWAY_SLOW_CLIENT_BYTES: setting.bytes.default(1024 * 1024),
  /** bytes that one stream keeps of what was sent, so that another engine can go on with it */
  GATEWAY_CONTINUATION_STREAM_BYTES: setting.bytes.default(512 * 1024),
  /** the same for all streams of a replica together */
  GATEWAY_CONTINUATION_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** a stopping gateway serves at least this long, while `/readyz` tells balancers to send nothing more; absent: 2,000, on loopback 0 */
  GATEWAY_DRAIN_DELAY_MS: setting.countOrNone.optional(),
  /** after it, how long it serves at most: until no answer runs and nothing more comes */
  GATEWAY_DRAIN_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** a request above the card's largest answer: refuse it, or serve it with the largest */
  GATEWAY_MAX_TOKENS: z.enum(['refuse', 'clamp']).default('refuse'),
  /** largest `n`: a request for several answers is a small batch, which the card forbids unless the operator allows it */
  GATEWAY_MAX_CHOICES: setting.countUpTo(128).default(1),
  /** an unknown `model` or deployment: 404, or the only model served */
  GATEWAY_UNKNOWN_MODEL: z.enum(['refuse', 'single']).default('refuse'),
  /** an unknown name in the header `azureml-model-deployment`: the only model served (told in the answer's header), or 404 */
  GATEWAY_UNKNOWN_DEPLOYMENT: z.enum(['single', 'refuse']).default('single'),
  /** hosts, addresses or ranges (CIDR) from which images may come although they are not public, on any port */
  GATEWAY_IMAGE_ALLOW: setting.list.default([]),
  /** for fetching one image, the wait for its turn and redirects included */
  GATEWAY_IMAGE_TIMEOUT_MS: setting.milliseconds.default(10_000),
  /** images fetched at a time in one replica; above it they wait, those of the key with the fewest first */
  GATEWAY_IMAGE_LIMIT_FETCHES: setting.count.default(256),
  /** the same for one key */
  GATEWAY_IMAGE_LIMIT_KEY_FETCHES: setting.count.default(64),
  /** addresses of the name servers for hosts of images, with a port or without, in place of the machine's */
  GATEWAY_IMAGE_NAME_SERVERS: setting.list
    .refine(
      (items) => items.every(isNameServer),
      'each must be an IP address, with a port or without: 10.0.0.10 or [fd00::10]:53',
    )
    .default([]),
  /** largest image */
  GATEWAY_IMAGE_LIMIT_BYTES: setting.bytes.default(15_000_000),
  /** most pixels of one image */
  GATEWAY_IMAGE_LIMIT_PIXELS: setting.count.default(25_000_000),
});
const Settings = Fields.refine((s) => s.GATEWAY_HEAD_TIMEOUT_MS <= s.GATEWAY_BODY_TIMEOUT_MS, {
  path: ['GATEWAY_BODY_TIMEOUT_MS'],
  error: 'covers the head too, and so cannot be shorter than GATEWAY_HEAD_TIMEOUT_MS',
}).refine((s) => s.GATEWAY_KEYS_FILE !== undefined || LOOPBACK.test(s.GATEWAY_HOST), {
  path: ['GATEWAY_HOST'],
  error: 'an address that others can reach needs keys: name a file of them in GATEWAY_KEYS_FILE',
});
export type GatewayConfig = Readonly<z.infer<typeof Settings> & { GATEWAY_DRAIN_DELAY_MS: number }>;
/** Where others can reach a gateway there may be a balancer, which needs a while to see that it leaves. */
const DRAIN_DELAY_MS = 2_000;

/** Reads the settings once, at start. @throws Error that names every bad or unknown `GATEWAY_*` variable */
export function loadConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  const settings = loadSettings('GATEWAY_', Settings, env);
  const delayMs = LOOPBACK.test(settings.GATEWAY_HOST) ? 0 : DRAIN_DELAY_MS;
  return Object.freeze({ ...settings, GATEWAY_DRAIN_DELAY_MS: settings.GATEWAY_DRAIN_DELAY_MS ?? delayMs });
}

/** For each port. */
export function connectionLimits(config: GatewayConfig) {
  return {
    all: config.GATEWAY_CONNECTIONS,
    incompletePerAddress: config.GATEWAY_CONNECTIONS_PER_ADDRESS,
    headMs: config.GATEWAY_HEAD_TIMEOUT_MS,
    bodyMs: config.GATEWAY_BODY_TIMEOUT_MS,
  };
}

/** For the JSON of each body. */
export function structureLimits(config: GatewayConfig) {
  return {
    bytes: config.GATEWAY_BODY_LIMIT_TEXT_BYTES,
    depth: config.GATEWAY_BODY_LIMIT_DEPTH,
    values: config.GATEWAY_BODY_LIMIT_VALUES,
    texts: config.GATEWAY_BODY_LIMIT_TEXTS,
  };
}

/** For pictures, and where they may come from. */
export function imageLimits(config: GatewayConfig) {
  return {
    allow: config.GATEWAY_IMAGE_ALLOW,
    timeoutMs: config.GATEWAY_IMAGE_TIMEOUT_MS,
    limitBytes: config.GATEWAY_IMAGE_LIMIT_BYTES,
    limitPixels: config.GATEWAY_IMAGE_LIMIT_PIXELS,
    fetchesPerKey: config.GATEWAY_IMAGE_LIMIT_KEY_FETCHES,
    fetchesPerReplica: config.GATEWAY_IMAGE_LIMIT_FETCHES,
    names: { servers: config.GATEWAY_IMAGE_NAME_SERVERS },
  };
}
