// @ts-check
/**
 * `npm run bench:answers`: background responses whose gateway is killed, on Penstock and on LiteLLM. Both have two gateways or
 * more, one Redis for them, and simulated engines.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '#runtime/free-port';
import { installPeer } from './compare/install.mjs';
import { Processes } from './compare/processes.mjs';
import { DURABLE, startRedis } from './compare/redis.mjs';
import { litellmCommand } from './compare/start-peer.mjs';
import { MODEL, startStack } from './promise/stack.mjs';

const HELP = `usage: npm run bench:answers -- [--only penstock|litellm] [--answers N]

  --only NAME   one of both
  --answers N   background responses of 100 tokens (default 200)
  --help        this text

The gateway that took them is killed when it has told the last id. Each answer is read at another one until it is over, for 90 s
at most. LiteLLM is installed in .cache/bench.`;
const LITELLM = '1.108.7';
/** Answers without a kill, to see that each side works. */
const UNDISTURBED = 20;
const TOKENS = 100;
const TOKEN_MS = 50;
const WITHIN_MS = 90_000;
const START_MS = 180_000;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @typedef {object} Side
 * @property {string} title
 * @property {readonly [string, string]} urls of the gateway that is killed, and of another
 * @property {() => void} kill
 * @property {() => Promise<void>} end
 */

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    answers: { type: 'string', default: '200' },
    help: { type: 'boolean', default: false },
  },
});

/** @returns {Promise<Side>} */
async function startPenstock() {
  const size = { launchers: 1, engines: 2, slots: 128, tokenMs: TOKEN_MS };
  const { urls, gatewayPids, end } = await startStack({ size });
  const [first = '', second = ''] = urls;
  return { title: 'Penstock', urls: [first, second], kill: () => process.kill(gatewayPids[0] ?? 0, 'SIGKILL'), end };
}

/** @returns {Promise<Side>} */
async function startLitellm() {
  const packages = [`litellm[proxy]==${LITELLM}`, 'redis==5.3.1'];
  const install = { folder: 'litellm-redis', from: /** @type {const} */ ('pypi'), packages };
  const say = (/** @type {string} */ line) => console.log(line);
  const cache = resolve(ROOT, '.cache/bench');
  const site = await installPeer(install, { cache, say, signal: new AbortController().signal });
  const folder = await mkdtemp(join(tmpdir(), 'penstock-answers-'));
  const processes = new Processes(folder);
  const end = async () => {
    await processes.end();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const { url } = await startRedis({ processes, folder, core: () => null, engineCores: null, cache }, 0, DURABLE);
    const engine = await freePort();
    const simulator = [join(ROOT, 'dist/worker-launcher/simulator/main.js'), 'serve', MODEL];
    const args = [...simulator, '--host', '127.0.0.1', '--port', String(engine), '--max-model-len', '131072'];
    const env = { PENSTOCK_SIM_ITL_MS: String(TOKEN_MS) };
    processes.start({ name: 'engine', file: process.execPath, args, env });
    const params = { model: `openai/${MODEL}`, api_base: `http://127.0.0.1:${engine}/v1`, api_key: 'none' };
    const { hostname: host, port: redisPort } = new URL(url);
    const config = join(folder, 'config.yaml');
    // JSON is YAML too.
    await writeFile(
      config,
      JSON.stringify({
        model_list: [{ model_name: MODEL, litellm_params: params }],
        litellm_settings: {
          cache: true,
          cache_params: { type: 'redis', host, port: Number(redisPort), supported_call_types: [] },
          responses: { background_mode: { polling_via_cache: 'all' } },
        },
      }),
    );
    const ports = [await freePort(), await freePort()];
    const pids = ports.map((port, n) => {
      const { args: words, env: settings } = litellmCommand(config, port);
      const python = { file: 'python3', args: words, env: { PYTHONPATH: site, ...settings } };
      return processes.start({ name: `litellm-${n}`, ...python, cwd: folder });
    });
    for (const [n, port] of ports.entries())
      await started(`http://127.0.0.1:${port}/health/liveliness`, processes, `litellm-${n}`);
    const [first = '', second = ''] = ports.map((port) => `http://127.0.0.1:${port}`);
    const title = `LiteLLM ${LITELLM}`;
    return { title, urls: [first, second], kill: () => process.kill(pids[0] ?? 0, 'SIGKILL'), end };
  } catch (cause) {
    await end();
    throw cause;
  }
}

/** @param {string} url @param {Processes} processes @param {string} name */
async function started(url, processes, name) {
  for (const end = performance.now() + START_MS; performance.now() < end; await pause(200))
    if (
      await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
  throw new Error(`${url} does not answer: ${processes.lastWords(name)}`);
}

/** @param {Side} side @param {number} count @param {() => void} kill @returns {Promise<string>} how many ended how */
async function measure({ urls: [first, second] }, count, kill) {
  const headers = { 'content-type': 'application/json', authorization: 'Bearer none' };
  const body = JSON.stringify({
    model: MODEL,
    input: 'Tell me of the harbour.',
    max_output_tokens: TOKENS,
    background: true,
  });
  const begin = async () => {
    const response = await fetch(`${first}/v1/responses`, { method: 'POST', headers, body });
    const answer = /** @type {any} */ (await response.json());
    if (typeof answer.id !== 'string') throw new Error(`no id: ${JSON.stringify(answer).slice(0, 300)}`);
    return answer.id;
  };
  const ids = await Promise.all(Array.from({ length: count }, begin));
  kill();
  const readAll = ids.map(async (id) => {
    let last = '';
    for (const end = performance.now() + WITHIN_MS; performance.now() < end; await pause(500)) {
      const response = await fetch(`${second}/v1/responses/${id}`, { headers });
      const { status } = /** @type {any} */ (await response.json());
      last = response.ok ? String(status) : String(response.status);
      if (!['queued', 'in_progress'].includes(last)) return last;
    }
    return `${last} for ever`;
  });
  /** @type {Record<string, number>} */
  const ends = {};
  for (const end of await Promise.all(readAll)) ends[end] = (ends[end] ?? 0) + 1;
  return Object.entries(ends)
    .map(([end, number]) => `${number} ${end}`)
    .join(', ');
}

async function main() {
  if (values.help) return console.log(HELP);
  const sides = Object.entries({ penstock: startPenstock, litellm: startLitellm });
  const wanted = sides.filter(([name]) => (values.only ?? name) === name);
  if (wanted.length === 0) throw new Error(`--only is ${values.only}: known are penstock, litellm`);
  for (const [, start] of wanted) {
    const side = await start();
    try {
      const undisturbed = await measure(side, UNDISTURBED, () => {});
      const killed = await measure(side, Number(values.answers), side.kill);
      console.log(`${side.title}: ${undisturbed} undisturbed; ${killed} whose gateway was killed`);
    } finally {
      await side.end();
    }
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? `bench:answers: ${error.message}` : error);
  process.exit(1);
}
