// @ts-check
import { resolve } from 'node:path';
import { HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';

/**
 * @typedef {object} UpOptions
 * @property {number} port first of the consecutive ports
 * @property {number} gateways
 * @property {number} launchers
 * @property {'auto' | 'vllm' | 'simulator' | undefined} engine undefined: the programs decide
 * @property {number | undefined} engines engine processes of each worker-launcher
 * @property {string | undefined} redis URL of an existing Redis
 * @property {string} dataDir absolute
 * @property {string | undefined} models absolute
 */
/** @typedef {{ do: 'up', options: UpOptions } | { do: 'help' } | { do: 'version' }} Command */

export const HELP = `penstock: OpenAI and Azure APIs in front of vision-language models

  penstock up [options]      start Redis, gateway and worker-launcher; Ctrl-C stops all of them
  npm start -- [options]     the same in a checkout
  penstock down --help       end what a start in this folder runs
  penstock logs --help       print log lines for people
  penstock status --help     show the state of engines, waiting requests and Redis
  penstock usage --help      print what each key used of each model on each day
  penstock answers --help    list, cancel and delete kept responses
  penstock webhooks --help   list webhook events, and deliver them again
  penstock keys --help       create, list and revoke API keys
  penstock redis --help      print users of Redis with the least rights
  penstock card --help       check model cards, or import one from Azure's catalog
  penstock weights --help    write sizes and hashes of a model's weights into its card
  penstock preflight --help  compare this machine with the model card, and plan its engines

  --port PORT        first of three consecutive ports: public API, internal port of the gateway,
                     internal port of the worker-launcher. Each further gateway uses the next two,
                     each further worker-launcher the next one             (8080)
  --engine ENGINE    auto, vllm or simulator; auto uses vLLM if this machine has a GPU and the
                     vllm command, else the simulator                      (auto)
  --engines N        engine processes of each worker-launcher              (one per GPU)
  --gateways N       gateway processes                                     (1)
  --launchers N      worker-launcher processes                             (1)
  --redis URL        existing Redis to use, redis:// or rediss://          (GATEWAY_REDIS_URL)
                     Without one, penstock starts two: one for the queue, and one without a file for
                     bodies and replies. It uses redis-server or valkey-server on PATH, else installs
                     one (as root), else runs containers.
  --data-dir DIR     folder of logs, pids.json and the queue's file        (.penstock)
  --models DIR       folder of model cards                                 (those of the package)
  --version          print the version
  --help             print this help

The programs also read GATEWAY_*, WORKER_* and PENSTOCK_SIM_* variables. Ports, Redis and the state folder
come from the options.
`;

const OPTIONS = {
  port: TEXT,
  engine: TEXT,
  engines: TEXT,
  gateways: TEXT,
  launchers: TEXT,
  redis: TEXT,
  'data-dir': TEXT,
  models: TEXT,
  version: /** @type {const} */ ({ type: 'boolean', short: 'v' }),
  help: HELP_FLAG,
};
const KNOWN_ENGINES = /** @type {const} */ (['auto', 'vllm', 'simulator']);

/**
 * @param {readonly string[]} args arguments after the program's name
 * @param {string} cwd base of relative folders
 * @returns {Command}
 * @throws Refusal for an unknown option or a wrong value
 */
export function parseCommand(args, cwd) {
  const { values, words } = readOptions('penstock', args, OPTIONS, 1);
  const [command] = words;
  if (values.help === true) return { do: 'help' };
  if (values.version === true) return { do: 'version' };
  if (command === undefined) return { do: 'help' };
  if (command !== 'up') throw new Refusal(`unknown command '${command}'; see penstock --help`);
  return {
    do: 'up',
    options: {
      port: whole('--port', values.port ?? '8080', 65_535),
      gateways: whole('--gateways', values.gateways ?? '1', 64),
      launchers: whole('--launchers', values.launchers ?? '1', 64),
      engine: values.engine === undefined ? undefined : engineNamed(values.engine),
      engines: values.engines === undefined ? undefined : whole('--engines', values.engines, 64),
      redis: values.redis === undefined ? undefined : redisUrl(values.redis, '--redis'),
      dataDir: folderNamed('--data-dir', values['data-dir'] ?? '.penstock', cwd),
      models: values.models === undefined ? undefined : folderNamed('--models', values.models, cwd),
    },
  };
}

/**
 * @param {string} text
 * @param {string} from the option or variable with this text
 * @throws Refusal when it is not the URL of a Redis; the message does not repeat it, because it may contain a password
 */
export function redisUrl(text, from) {
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (protocol !== 'redis:' && protocol !== 'rediss:') {
    throw new Refusal(`${from} takes a URL such as redis://user:password@host:6379/0`);
  }
  return text;
}

/**
 * @param {string} name of the option
 * @param {string} text
 * @param {string} cwd base of a relative folder
 * @throws Refusal for an empty text, for example from an unset shell variable: it would mean the current folder
 */
export function folderNamed(name, text, cwd) {
  if (text === '') throw new Refusal(`${name} takes a folder, not ''`);
  return resolve(cwd, text);
}

/** @param {string} name @param {string} text @param {number} most */
function whole(name, text, most) {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw new Refusal(`${name} takes a whole number from 1 to ${most}, not '${text}'`);
  return value;
}

/** @param {string} text */
function engineNamed(text) {
  const engine = KNOWN_ENGINES.find((known) => known === text);
  if (engine === undefined) throw new Refusal(`--engine takes ${KNOWN_ENGINES.join(', ')}, not '${text}'`);
  return engine;
}
