// @ts-check
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastLines, runToEnd } from '../../../local/setup/run-to-end.mjs';
import { installPeer } from '../../compare/install.mjs';
import { percent, seconds } from '../figures.mjs';
import { busyShare, heldSlots } from '../held-slots.mjs';
import { MODEL, startStack, sumOf } from '../stack.mjs';
import { watchQueue } from '../watch-queue.mjs';

const CACHE = fileURLToPath(new URL('../../../../.cache/bench-sdks', import.meta.url));
/** Newest and oldest of those that callers use. The newest for Node wants Node 22. */
const NODE = `node-linux-${process.arch}`;
const SDKS = /** @type {const} */ ([
  { name: 'openai-node 6.49', sdk: 'openai', from: 'npm', packages: ['openai@6.49.0'] },
  { name: 'openai-node 7.59', sdk: 'openai', from: 'npm', packages: ['openai@7.59.0', `${NODE}@24.22.3`] },
  { name: 'openai-python 1.109', sdk: 'openai', from: 'pypi', packages: ['openai==1.109.1'] },
  { name: 'openai-python 3.57', sdk: 'openai', from: 'pypi', packages: ['openai==3.57.0'] },
  {
    name: 'azure-ai-inference for Python',
    sdk: 'azure',
    from: 'pypi',
    packages: ['azure-ai-inference==1.0.0b9', 'azure-core==1.41.0', 'aiohttp==3.13.2'],
  },
  {
    name: '@azure-rest/ai-inference',
    sdk: 'azure',
    from: 'npm',
    packages: ['@azure-rest/ai-inference@1.0.0-beta.6'],
  },
]);
/** The queue fills in this time, in which slots are not judged, in ms. */
const SETTLE_MS = 5_000;
/** Further tries, each after at most 60 s and a full queue, in ms. */
const LAST_ANSWER_MS = 300_000;

/**
 * @typedef {object} Order to a process with one SDK
 * @property {string} name
 * @property {string} sdk `openai` or `azure`
 * @property {string} folder of its packages
 * @property {readonly string[]} urls of the gateways
 * @property {string} key
 * @property {string} model
 * @property {number} perSecond calls
 * @property {number} seconds
 * @property {number} seed
 *
 * @typedef {{ calls: number, succeeded: number, errors: Record<string, number>, lateMs: number }} Outcome `lateMs`: how late calls were started, p99
 */

/**
 * All SDKs together, each with an equal part of the load, as ten clients of one key or of none.
 * @param {{ size: import('../stack.mjs').Size, times: number, seconds: number, limit: number, hasKeys: boolean, tokens: number }} options `tokens`: of an answer, mean
 * @returns {Promise<import('../figures.mjs').Figures>}
 */
export async function measureSdks({ size, times, seconds: forSeconds, limit, hasKeys, tokens }) {
  /** @type {string[]} */
  const folders = [];
  for (const { name, from, packages } of SDKS) {
    const folder = name.replaceAll(/\W+/g, '-');
    const deps = { cache: CACHE, say: console.log, signal: new AbortController().signal };
    folders.push(await installPeer({ folder, from, packages }, deps));
  }
  const gatewayEnv = { GATEWAY_QUEUE_LIMIT_JOBS: String(limit) };
  const stack = await startStack({ size, gatewayEnv, ...(hasKeys ? { keys: { shared: 1 } } : {}) });
  try {
    const capacity = (stack.slots * 1_000) / (size.tokenMs * tokens);
    const queue = watchQueue(stack);
    const key = stack.headersOf('shared')['authorization']?.replace('Bearer ', '') ?? 'none';
    const common = { urls: stack.urls, key, model: MODEL, perSecond: (capacity * times) / SDKS.length };
    const startedAt = performance.now();
    const outcomes = await Promise.all(
      SDKS.map(({ name, sdk, from }, seed) =>
        run(from, { ...common, name, sdk, folder: folders[seed] ?? '', seconds: forSeconds, seed }),
      ),
    );
    const { longest } = queue.end();
    const total = (/** @type {'calls' | 'succeeded'} */ what) => sumOf(outcomes.map((one) => one[what]));
    return {
      'calls started': total('calls'),
      'calls started late, p99 (machine too busy?)': seconds(Math.max(...outcomes.map(({ lateMs }) => lateMs))),
      'slots busy while overloaded': percent(
        busyShare(heldSlots(stack), stack.slots, startedAt + SETTLE_MS, startedAt + forSeconds * 1_000),
      ),
      'calls that succeed': percent(total('succeeded') / total('calls')),
      'longest queue': longest,
      ...Object.fromEntries(
        outcomes.map(({ calls, succeeded }, i) => [`${SDKS[i]?.name}`, `${percent(succeeded / calls)} of ${calls}`]),
      ),
      errors: Object.assign({}, ...outcomes.map(({ errors }) => errors)),
    };
  } finally {
    await stack.end();
  }
}

/** @param {'npm' | 'pypi'} from @param {Order} order @returns {Promise<Outcome>} */
async function run(from, order) {
  const limit = AbortSignal.timeout(order.seconds * 1_000 + LAST_ANSWER_MS);
  const node = join(order.folder, 'node_modules', NODE, 'bin/node');
  const program = from === 'npm' ? (existsSync(node) ? node : process.execPath) : 'python3';
  const file = fileURLToPath(new URL(from === 'npm' ? 'node-sdk.mjs' : 'python_sdk.py', import.meta.url));
  const { code, output } = await runToEnd(program, [file, JSON.stringify(order)], {
    cwd: order.folder,
    env: { ...process.env, PYTHONPATH: order.folder },
    signal: limit,
  });
  if (code !== 0) throw new Error(`${order.name}: ${lastLines(output, 5)}`);
  return JSON.parse(lastLines(output, 1));
}
