import type { GatewayConfig } from './config.ts';

/** What each part of the gateway takes of the settings. */

/** Who callers are. */
export function callerFiles(config: GatewayConfig) {
  return { keys: config.GATEWAY_KEYS_FILE, identity: config.GATEWAY_IDENTITY_FILE };
}

/** Whose requests are served if no keys are configured. */
export function keylessAccess(config: GatewayConfig) {
  return { hosts: config.GATEWAY_HOSTS, origins: config.GATEWAY_CORS_ORIGINS };
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

/** How much may wait for a model, in requests and bytes. */
export function queueLimits(config: GatewayConfig) {
  return { jobs: config.GATEWAY_QUEUE_LIMIT_JOBS, bytes: config.GATEWAY_QUEUE_LIMIT_BYTES };
}

/** How the APIs answer. */
export function dialectSettings(config: GatewayConfig) {
  return {
    deploymentName: config.GATEWAY_DEPLOYMENT_NAME,
    scoreErrors: config.GATEWAY_SCORE_ERRORS,
    tokenize: config.GATEWAY_TOKENIZE,
  };
}

/** What the names of models and deployments in requests mean. */
export function chosenModels(config: GatewayConfig) {
  return {
    deploymentName: config.GATEWAY_DEPLOYMENT_NAME,
    unknownModel: config.GATEWAY_UNKNOWN_MODEL,
    unknownDeployment: config.GATEWAY_UNKNOWN_DEPLOYMENT,
  };
}

export function requestTimeouts(config: GatewayConfig) {
  return { requestTimeoutMs: config.GATEWAY_REQUEST_TIMEOUT_MS, scoreTimeoutMs: config.GATEWAY_SCORE_TIMEOUT_MS };
}

/** For answers on their way to clients, for those that are kept, and for their webhooks. */
export function answerLimits(config: GatewayConfig) {
  return {
    keepAliveMs: config.GATEWAY_KEEP_ALIVE_MS,
    slowClientBytes: config.GATEWAY_SLOW_CLIENT_BYTES,
    storeLimits: {
      open: config.GATEWAY_STORE_LIMIT_OPEN,
      bytes: config.GATEWAY_STORE_LIMIT_BYTES,
      keyBytes: config.GATEWAY_STORE_LIMIT_KEY_BYTES,
    },
    logBytes: config.GATEWAY_STORE_ANSWER_BYTES,
    backgroundTimeoutMs: config.GATEWAY_BACKGROUND_TIMEOUT_MS,
    storeTtlMs: config.GATEWAY_STORE_TTL_MS,
    storeByDefault: config.GATEWAY_STORE_ABSENT,
    itemsTtlMs: config.GATEWAY_ITEMS_TTL_MS,
    durableGraceMs: config.GATEWAY_DURABLE_GRACE_MS,
    idempotencyTtlMs: config.GATEWAY_IDEMPOTENCY_TTL_MS,
    webhookAllow: config.GATEWAY_WEBHOOK_ALLOW,
    nameServers: config.GATEWAY_IMAGE_NAME_SERVERS,
  };
}

/** For pictures, and the addresses that they may be fetched from. */
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
