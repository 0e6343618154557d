import { isIP } from 'node:net';
import { z } from 'zod';
import { LOG_LEVELS } from '#runtime/log';
import { loadSettings, setting } from '#runtime/settings';
import { SAFETY_SETTINGS } from './safety/settings.ts';

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
  /** Redis for queue, registry and control; without a second URL also for bodies and replies */
  GATEWAY_REDIS_URL: setting.redisUrl,
  /** user name for Redis, if the URL has none */
  GATEWAY_REDIS_USERNAME: z.string().optional(),
  /** `entra`: the password is a token of Entra ID, which is renewed; the user is the object id of the identity */
  GATEWAY_REDIS_AUTH: z.enum(['password', 'entra']).optional(),
  /** password for Redis, unencoded */
  GATEWAY_REDIS_PASSWORD: z.string().optional(),
  /** file with the password, instead of the above; a change needs no restart */
  GATEWAY_REDIS_PASSWORD_FILE: z.string().optional(),
  /** file of certificate authorities (PEM) for rediss://, instead of the system's */
  GATEWAY_REDIS_CA_FILE: z.string().optional(),
  /** PEM files of the gateway's own certificate and of its key, for a Redis that asks for one */
  GATEWAY_REDIS_CERT_FILE: z.string().optional(),
  GATEWAY_REDIS_KEY_FILE: z.string().optional(),
  /** further nodes of a Redis Cluster that has several addresses */
  GATEWAY_REDIS_CLUSTER_NODES: setting.places.optional(),
  /** Sentinels; the host of the URL is the name of the primary */
  GATEWAY_REDIS_SENTINELS: setting.places.optional(),
  /** login at the Sentinels, if they need one */
  GATEWAY_REDIS_SENTINEL_USERNAME: z.string().optional(),
  GATEWAY_REDIS_SENTINEL_PASSWORD: z.string().optional(),
  GATEWAY_REDIS_SENTINEL_PASSWORD_FILE: z.string().optional(),
  /** first part of every key, for two installations on one Redis; the same in all programs of one installation */
  GATEWAY_REDIS_PREFIX: setting.keyPrefix.default('penstock'),
  /** how long the gateway waits at start for Redis to answer */
  GATEWAY_REDIS_WAIT_MS: setting.milliseconds.default(5_000),
  /** a second Redis for prompts, pictures and answers, which should write no file */
  GATEWAY_REPLY_REDIS_URL: setting.redisUrl.optional(),
  /** login for the second Redis, as above */
  GATEWAY_REPLY_REDIS_USERNAME: z.string().optional(),
  GATEWAY_REPLY_REDIS_AUTH: z.enum(['password', 'entra']).optional(),
  GATEWAY_REPLY_REDIS_PASSWORD: z.string().optional(),
  GATEWAY_REPLY_REDIS_PASSWORD_FILE: z.string().optional(),
  GATEWAY_REPLY_REDIS_CA_FILE: z.string().optional(),
  GATEWAY_REPLY_REDIS_CERT_FILE: z.string().optional(),
  GATEWAY_REPLY_REDIS_KEY_FILE: z.string().optional(),
  GATEWAY_REPLY_REDIS_CLUSTER_NODES: setting.places.optional(),
  GATEWAY_REPLY_REDIS_SENTINELS: setting.places.optional(),
  GATEWAY_REPLY_REDIS_SENTINEL_USERNAME: z.string().optional(),
  GATEWAY_REPLY_REDIS_SENTINEL_PASSWORD: z.string().optional(),
  GATEWAY_REPLY_REDIS_SENTINEL_PASSWORD_FILE: z.string().optional(),
  /** address of the public API; addresses other than loopback need GATEWAY_KEYS_FILE or GATEWAY_IDENTITY_FILE */
  GATEWAY_HOST: z.string().default('127.0.0.1'),
  /** port of the public API */
  GATEWAY_PORT: setting.port.default(8080),
  /** PEM file of the public API's certificate, with those that lead to its authority; the port then speaks TLS only */
  GATEWAY_TLS_CERT_FILE: z.string().optional(),
  /** PEM file of its private key, without a password; changes of both files take effect without a restart */
  GATEWAY_TLS_KEY_FILE: z.string().optional(),
  /** address of probes, status and metrics */
  GATEWAY_INTERNAL_HOST: z.string().default('127.0.0.1'),
  /** port of probes, status and metrics */
  GATEWAY_INTERNAL_PORT: setting.port.default(8081),
  /** folder of model cards */
  GATEWAY_MODELS_DIR: z.string().default('deploy/models'),
  /** file of hashed keys and webhooks, written by `penstock keys`; changes take effect without a restart */
  GATEWAY_KEYS_FILE: z.string().optional(),
  /** file of identity providers (Entra ID, OpenID Connect) whose tokens are accepted; changes take effect without a restart */
  GATEWAY_IDENTITY_FILE: z.string().optional(),
  /** secret of the salts that separate callers in the engines' caches; absent: the replicas share one in Redis */
  GATEWAY_CACHE_SALT_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
  /** file with the secret, instead of the above */
  GATEWAY_CACHE_SALT_SECRET_FILE: z.string().optional(),
  /** serve `/tokenize`, which counts the tokens of a prompt */
  GATEWAY_TOKENIZE: setting.flag.default(false),
  /** how long the answer to a request with an Idempotency-Key can be requested again; Redis keeps it for this long */
  GATEWAY_IDEMPOTENCY_TTL_MS: setting.milliseconds.default(600_000),
  /** further names, besides `localhost` and loopback addresses, by which callers reach what asks for no key */
  GATEWAY_HOSTS: setting.list.default([]),
  /** origins whose pages may call from a browser, such as `https://chat.example.com`; `*`: all */
  GATEWAY_CORS_ORIGINS: setting.list.default([]),
  /** debug, info, warn, error or silent */
  GATEWAY_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** file that gets one line for each administrative act, and is only appended to; `-`: standard output */
  GATEWAY_AUDIT_FILE: z.string().optional(),
  /** a line in it for each request too, without its content */
  GATEWAY_AUDIT_REQUESTS: setting.flag.default(false),
  /** this gateway as one deployment: value of `azureml-model-deployment` if no other deployment was chosen */
  GATEWAY_DEPLOYMENT_NAME: z.string().default('penstock'),
  /** `name=card,…`: further names by which Azure's clients choose a model, in the path or a header */
  GATEWAY_DEPLOYMENTS: setting.list
    .pipe(z.array(z.string().regex(/^[^=\s]+\s*=\s*[^=\s]+$/, 'each must be NAME=CARD')))
    .transform((items) => items.map(pair))
    .default([]),
  /** failures on /score: as the endpoint reports them, or `200 {}` as Azure's container hid them */
  GATEWAY_SCORE_ERRORS: z.enum(['endpoint', 'strict-compat']).default('endpoint'),
  /** timeout from the first byte of a request to the end of its headers; then 408 */
  GATEWAY_HEAD_TIMEOUT_MS: setting.milliseconds.default(15_000),
  /** timeout from the first byte of a request to the last one of its body; then 408 */
  GATEWAY_BODY_TIMEOUT_MS: setting.milliseconds.default(60_000),
  /** limit of open connections; above it the oldest incomplete one is closed, then the one that was idle longest */
  GATEWAY_CONNECTIONS: setting.count.default(10_000),
  /** limit of connections of one address (IPv6: one /64) without a complete request; above it the oldest is closed */
  GATEWAY_CONNECTIONS_PER_ADDRESS: setting.count.default(1_000),
  /** limit of a request body; a larger one gets 413 */
  GATEWAY_BODY_LIMIT_BYTES: setting.bytes.default(20_000_000),
  /** how many days the usage of each key is kept in Redis; the answer of `/usage` and `penstock usage` */
  GATEWAY_USAGE_DAYS: setting.countUpTo(3_650).default(90),
  /** metrics of requests, tokens and refusals by key, whose ids then are labels */
  GATEWAY_USAGE_METRICS: setting.flag.default(false),
  /** limit of waiting requests of one model, in all replicas together; above it 429 */
  GATEWAY_QUEUE_LIMIT_JOBS: setting.count.default(2_000),
  /** limit of the bytes of their bodies; above it 429 */
  GATEWAY_QUEUE_LIMIT_BYTES: setting.bytes.default(512 * 1024 * 1024),
  /** limit of a body outside its pictures; above it 413 */
  GATEWAY_BODY_LIMIT_TEXT_BYTES: setting.bytes.default(4 * 1024 * 1024),
  /** limit of the nesting of lists and objects in a body */
  GATEWAY_BODY_LIMIT_DEPTH: setting.count.default(100),
  /** limit of elements of all lists and objects of a body together; most are token ids */
  GATEWAY_BODY_LIMIT_VALUES: setting.count.default(262_144),
  /** limit of the texts of a body, names of fields included */
  GATEWAY_BODY_LIMIT_TEXTS: setting.count.default(32_768),
  /** limit of bodies and pictures, read or waiting, in the memory of one replica; above it 503 */
  GATEWAY_BODY_MEMORY_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** limit of that memory for the requests of one key */
  GATEWAY_BODY_MEMORY_KEY_BYTES: setting.bytes.default(128 * 1024 * 1024),
  /** timeout from arrival to the end of the answer */
  GATEWAY_REQUEST_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** the same timeout for /score, which Azure limits to 180 s */
  GATEWAY_SCORE_TIMEOUT_MS: setting.milliseconds.default(180_000),
  /** the same timeout for /v1/responses with `background: true`, which waits as long for an engine */
  GATEWAY_BACKGROUND_TIMEOUT_MS: setting.milliseconds.default(3_600_000),
  /** how long an answer to a request with an Idempotency-Key goes on when its last client has left */
  GATEWAY_DURABLE_GRACE_MS: setting.milliseconds.default(60_000),
  /** how long an answer to a request with `store: true` is kept after its end */
  GATEWAY_STORE_TTL_MS: setting.milliseconds.default(86_400_000),
  /** responses whose request does not say `store` are stored, as on OpenAI's API */
  GATEWAY_STORE_ABSENT: setting.flag.default(false),
  /** how long later requests may name the items of an answer by their ids, unless it says `store: false`; 0: never */
  GATEWAY_ITEMS_TTL_MS: setting.countOrNone.default(600_000),
  /** limit of the bytes that Redis keeps of one answer while it runs; a longer answer fails */
  GATEWAY_STORE_ANSWER_BYTES: setting.bytes.default(8 * 1024 * 1024),
  /** limit of kept answers of one model that are not over, in all replicas together; above it 429 */
  GATEWAY_STORE_LIMIT_OPEN: setting.count.default(1_000),
  /** limit of the bytes that all kept answers of one model need in Redis; above it 429 */
  GATEWAY_STORE_LIMIT_BYTES: setting.bytes.default(512 * 1024 * 1024),
  /** the same limit for the answers of one key */
  GATEWAY_STORE_LIMIT_KEY_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** longest silence between two pieces of an answer */
  GATEWAY_IDLE_TIMEOUT_MS: setting.milliseconds.default(60_000),
  /**
   * for autoscaling, the engines of one worker of each pool: JSON such as `{"nc48": {"Phi-3-vision-128k-instruct":
   * {"engines": 2}}}`. `text` and `image` beside `engines` replace the slots that an engine reports
   */
  GATEWAY_POOLS: setting.json(Pools).default({}),
  /** how long a request waits while no engine of its model is ready, because a node may be starting */
  GATEWAY_NO_ENGINE_HOLD_MS: setting.milliseconds.default(30_000),
  /** silence on a stream before a comment line (Azure inference: an empty event), with the headers if not yet sent */
  GATEWAY_KEEP_ALIVE_MS: setting.milliseconds.default(15_000),
  /** limit of unsent bytes of a client that does not read; above it the client is disconnected */
  GATEWAY_SLOW_CLIENT_BYTES: setting.bytes.default(1024 * 1024),
  /** bytes of a stream that are kept so that another engine can continue it */
  GATEWAY_CONTINUATION_STREAM_BYTES: setting.bytes.default(512 * 1024),
  /** limit of these bytes for all streams of a replica together */
  GATEWAY_CONTINUATION_BYTES: setting.bytes.default(256 * 1024 * 1024),
  /** shortest time that a stopping gateway serves, while `/readyz` warns balancers; absent: 2,000 ms, on loopback 0 ms */
  GATEWAY_DRAIN_DELAY_MS: setting.countOrNone.optional(),
  /** longest time that it serves after that, until no answer is running and no request arrives */
  GATEWAY_DRAIN_TIMEOUT_MS: setting.milliseconds.default(600_000),
  /** a request above the card's largest answer: refuse it, or serve it with the largest */
  GATEWAY_MAX_TOKENS: z.enum(['refuse', 'clamp']).default('refuse'),
  /** limit of `n`: several answers are a small batch, which the card forbids unless the operator allows it */
  GATEWAY_MAX_CHOICES: setting.countUpTo(128).default(1),
  /** an unknown `model` or deployment: 404, or the only model served */
  GATEWAY_UNKNOWN_MODEL: z.enum(['refuse', 'single']).default('refuse'),
  /** an unknown name in the header `azureml-model-deployment`: the only model (named in the answer), or 404 */
  GATEWAY_UNKNOWN_DEPLOYMENT: z.enum(['single', 'refuse']).default('single'),
  /** non-public hosts, addresses or ranges (CIDR) that picture URLs may use, on any port */
  GATEWAY_IMAGE_ALLOW: setting.list.default([]),
  /** timeout for fetching one image, including redirects and the wait for a free fetch slot */
  GATEWAY_IMAGE_TIMEOUT_MS: setting.milliseconds.default(10_000),
  /** limit of image fetches at a time in one replica; above it they wait, and the key with the fewest goes first */
  GATEWAY_IMAGE_LIMIT_FETCHES: setting.count.default(256),
  /** the same limit for one key */
  GATEWAY_IMAGE_LIMIT_KEY_FETCHES: setting.count.default(64),
  /** non-public hosts, addresses or ranges (CIDR) that webhooks and the content filter may use, on any port, also by http */
  GATEWAY_WEBHOOK_ALLOW: setting.list.default([]),
  /** addresses of the name servers for hosts of images and webhooks, with or without a port, instead of the machine's */
  GATEWAY_IMAGE_NAME_SERVERS: setting.list
    .refine(
      (items) => items.every(isNameServer),
      'each must be an IP address, with or without a port: 10.0.0.10 or [fd00::10]:53',
    )
    .default([]),
  /** limit of the bytes of one image */
  GATEWAY_IMAGE_LIMIT_BYTES: setting.bytes.default(15_000_000),
  /** limit of the pixels of one image */
  GATEWAY_IMAGE_LIMIT_PIXELS: setting.count.default(25_000_000),
  ...SAFETY_SETTINGS,
});
const Settings = Fields.refine((s) => s.GATEWAY_HEAD_TIMEOUT_MS <= s.GATEWAY_BODY_TIMEOUT_MS, {
  path: ['GATEWAY_BODY_TIMEOUT_MS'],
  error: 'must not be shorter than GATEWAY_HEAD_TIMEOUT_MS, because it includes the head',
})
  .refine((s) => (s.GATEWAY_KEYS_FILE ?? s.GATEWAY_IDENTITY_FILE) !== undefined || LOOPBACK.test(s.GATEWAY_HOST), {
    path: ['GATEWAY_HOST'],
    error:
      'an address that others can reach needs keys: name a key file in GATEWAY_KEYS_FILE, or providers in GATEWAY_IDENTITY_FILE',
  })
  .refine((s) => (s.GATEWAY_TLS_CERT_FILE === undefined) === (s.GATEWAY_TLS_KEY_FILE === undefined), {
    path: ['GATEWAY_TLS_CERT_FILE'],
    error: 'a certificate needs its key, and a key its certificate: set GATEWAY_TLS_KEY_FILE too, or neither',
  })
  .refine((s) => !s.GATEWAY_AUDIT_REQUESTS || s.GATEWAY_AUDIT_FILE !== undefined, {
    path: ['GATEWAY_AUDIT_REQUESTS'],
    error: 'needs GATEWAY_AUDIT_FILE, which says where the lines go',
  });
export type GatewayConfig = Readonly<z.infer<typeof Settings> & { GATEWAY_DRAIN_DELAY_MS: number }>;
/** A gateway that others can reach may have a balancer, which needs time to see that it is leaving. */
const DRAIN_DELAY_MS = 2_000;

/** Reads the settings once, at start. @throws Error that names every bad or unknown `GATEWAY_*` variable */
export function loadConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  const settings = loadSettings('GATEWAY_', Settings, env);
  const delayMs = LOOPBACK.test(settings.GATEWAY_HOST) ? 0 : DRAIN_DELAY_MS;
  return Object.freeze({ ...settings, GATEWAY_DRAIN_DELAY_MS: settings.GATEWAY_DRAIN_DELAY_MS ?? delayMs });
}
