// @ts-check
import { join } from 'node:path';

/**
 * @typedef {{ gateway: string, launcher: string }} ProgramFiles scripts of the programs
 * @typedef {object} Program
 * @property {string} name
 * @property {string} file
 * @property {string} logName
 * @property {Record<string, string>} settings
 * @property {string} internalUrl base URL of its probes
 * @property {string} [apiUrl] of a gateway
 */

/** Short enough that everything has ended 10 s after Ctrl-C; the operator's own settings win. */
const STOP_DEFAULTS = {
  GATEWAY_DRAIN_TIMEOUT_MS: '3500',
  WORKER_DRAIN_TIMEOUT_MS: '3500',
  WORKER_ENGINE_STOP_TIMEOUT_MS: '2500',
};
/** The gateway's default if it does not listen on loopback. */
const DRAIN_DELAY_MS = 2_000;
/** Time to disconnect from Redis and to exit, after the times above. */
const STOP_MARGIN_MS = 1_000;

/**
 * Settings of every program to start.
 * @param {object} asked
 * @param {import('./options.mjs').UpOptions} asked.options
 * @param {import('./ports.mjs').PortPlan} asked.plan
 * @param {string} asked.redisUrl
 * @param {string | undefined} asked.replyRedisUrl of bodies and replies; undefined: the same Redis
 * @param {string} asked.modelsDir
 * @param {ProgramFiles} asked.files
 * @param {NodeJS.ProcessEnv} asked.env
 * @returns {{ gateways: Program[], launchers: Program[] }}
 */
export function planPrograms({ options, plan, redisUrl, replyRedisUrl, modelsDir, files, env }) {
  const hosts = hostsOf(env);
  const timeouts = stopSettings(env);
  return {
    gateways: plan.gateways.map(({ public: port, internal }, index) => ({
      name: numbered('gateway', index),
      file: files.gateway,
      logName: `${numbered('gateway', index)}.log`,
      internalUrl: urlOf(hosts.gatewayInternal, internal),
      apiUrl: urlOf(hosts.public, port),
      settings: {
        GATEWAY_REDIS_URL: redisUrl,
        ...(replyRedisUrl === undefined ? {} : { GATEWAY_REPLY_REDIS_URL: replyRedisUrl }),
        GATEWAY_MODELS_DIR: modelsDir,
        GATEWAY_PORT: String(port),
        GATEWAY_INTERNAL_PORT: String(internal),
        GATEWAY_DRAIN_TIMEOUT_MS: timeouts.GATEWAY_DRAIN_TIMEOUT_MS,
      },
    })),
    launchers: plan.launchers.map(({ internal }, index) => ({
      name: numbered('worker-launcher', index),
      file: files.launcher,
      logName: `${numbered('worker-launcher', index)}.log`,
      internalUrl: urlOf(hosts.launcherInternal, internal),
      settings: {
        WORKER_REDIS_URL: redisUrl,
        ...(replyRedisUrl === undefined ? {} : { WORKER_REPLY_REDIS_URL: replyRedisUrl }),
        WORKER_MODELS_DIR: modelsDir,
        WORKER_INTERNAL_PORT: String(internal),
        // Sockets need a short path, so the operator may choose another folder; launchers may share it.
        WORKER_STATE_DIR: env['WORKER_STATE_DIR'] || join(options.dataDir, numbered('worker', index)),
        WORKER_DRAIN_TIMEOUT_MS: timeouts.WORKER_DRAIN_TIMEOUT_MS,
        WORKER_ENGINE_STOP_TIMEOUT_MS: timeouts.WORKER_ENGINE_STOP_TIMEOUT_MS,
        ...(options.engine === undefined ? {} : { WORKER_ENGINE: options.engine }),
        ...(options.engines === undefined ? {} : { WORKER_ENGINES: String(options.engines) }),
      },
    })),
  };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {number} milliseconds from SIGTERM until a program is killed
 */
export function stopLimitMs(env) {
  const timeouts = stopSettings(env);
  const delayMs = Number(env['GATEWAY_DRAIN_DELAY_MS'] || DRAIN_DELAY_MS);
  const gatewayMs = delayMs + Number(timeouts.GATEWAY_DRAIN_TIMEOUT_MS);
  const launcherMs = Number(timeouts.WORKER_DRAIN_TIMEOUT_MS) + Number(timeouts.WORKER_ENGINE_STOP_TIMEOUT_MS);
  // the programs themselves refuse a value that is not a number
  return Math.max(gatewayMs || 0, launcherMs || 0) + STOP_MARGIN_MS;
}

/** Addresses that the programs will bind. @param {NodeJS.ProcessEnv} env */
export function hostsOf(env) {
  return {
    public: env['GATEWAY_HOST'] || '127.0.0.1',
    gatewayInternal: env['GATEWAY_INTERNAL_HOST'] || '127.0.0.1',
    launcherInternal: env['WORKER_INTERNAL_HOST'] || '127.0.0.1',
  };
}

/** @param {NodeJS.ProcessEnv} env @returns {typeof STOP_DEFAULTS} */
function stopSettings(env) {
  return {
    GATEWAY_DRAIN_TIMEOUT_MS: env['GATEWAY_DRAIN_TIMEOUT_MS'] || STOP_DEFAULTS.GATEWAY_DRAIN_TIMEOUT_MS,
    WORKER_DRAIN_TIMEOUT_MS: env['WORKER_DRAIN_TIMEOUT_MS'] || STOP_DEFAULTS.WORKER_DRAIN_TIMEOUT_MS,
    WORKER_ENGINE_STOP_TIMEOUT_MS: env['WORKER_ENGINE_STOP_TIMEOUT_MS'] || STOP_DEFAULTS.WORKER_ENGINE_STOP_TIMEOUT_MS,
  };
}

/** The first has the plain name. @param {string} name @param {number} index */
function numbered(name, index) {
  return index === 0 ? name : `${name}-${index + 1}`;
}

/** @param {string} host @param {number} port */
function urlOf(host, port) {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
