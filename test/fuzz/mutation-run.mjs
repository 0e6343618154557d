// @ts-check
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import { join } from 'node:path';
import { ROOT } from '../drill/processes.mjs';
import { Stack } from '../drill/stack.mjs';
import { WatchedLoop } from '../support/watched-loop.mjs';
import { mutants } from './mutants.mjs';
import { seeds } from './seeds.mjs';
import { sendMutant } from './send-mutant.mjs';
import { TINY_PICTURES } from './tiny-pictures.mjs';

/** @typedef {{ seconds: number, statuses: Record<string, number>, rss: number, heap: number, blockMs: number, delayMs: number }} Pass */

const AT_A_TIME = 48;
const QUIET_WITHIN_MS = 30_000;
/** 5xx statuses that the gateway sends on purpose. */
const MAY_BE = [503, 504];
/** Short, so that half-sent requests are answered soon. */
const LIMITS = { GATEWAY_HEAD_TIMEOUT_MS: '1000', GATEWAY_BODY_TIMEOUT_MS: '2000', GATEWAY_IMAGE_TIMEOUT_MS: '2000' };

/**
 * @param {{ folder: string, count: number, seed: number, passes: number, limitMs: number, say: (line: string) => void }} run
 *   `folder` for its own files; `limitMs` is for all passes together
 */
export async function runMutations({ folder, count, seed, passes: passCount, limitMs, say }) {
  const end = performance.now() + limitMs;
  const keys = join(folder, 'keys.yaml');
  const create = ['deploy/local/penstock.mjs', 'keys', 'create', '--file', keys, '--id', 'mutant'];
  const key = spawnSync(process.execPath, create, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
  const loop = new WatchedLoop(folder, { collects: true });
  const picture = createServer((_req, res) => res.setHeader('content-type', 'image/png').end(TINY_PICTURES[0]));
  picture.listen(0, '127.0.0.1');
  await once(picture, 'listening');
  const address = picture.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const stack = await Stack.start({
    engines: 2,
    gatewayEnv: {
      ...loop.env,
      ...LIMITS,
      GATEWAY_KEYS_FILE: keys,
      GATEWAY_TOKENIZE: 'true',
      GATEWAY_IMAGE_ALLOW: '127.0.0.1',
      GATEWAY_IMAGE_NAME_SERVERS: '127.0.0.1:9',
      GATEWAY_CORS_ORIGINS: 'https://a.example',
      GATEWAY_IDEMPOTENCY_TTL_MS: '1000',
    },
  });
  /** @type {string[]} */
  const failures = [];
  /** @type {Pass[]} */
  const passes = [];
  const [gateway] = stack.gateways;
  const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME });
  try {
    if (gateway === undefined) throw new Error('the stack has no gateway');
    const to = { port: gateway.port, internalPort: Number(new URL(gateway.internalUrl).port), agent };
    const engines = (await stack.engines()).map(({ pid }) => pid);
    // Memory of the start does not count.
    await loop.seen(gateway.pid);
    for (let pass = 1; pass <= passCount; pass += 1) {
      const startedAt = performance.now();
      /** @type {Record<string, number>} */
      const statuses = {};
      const all = mutants(seed, count, seeds(`http://127.0.0.1:${port}/a.png`), key);
      let index = 0;
      const sendOneByOne = async () => {
        for (let next = all.next(); next.done !== true; next = all.next()) {
          const number = index;
          index += 1;
          if (performance.now() > end || gateway.ended()) return;
          const outcome = await sendMutant(next.value, to);
          const shown = outcome.how === 'answered' ? String(outcome.status) : outcome.how;
          statuses[shown] = (statuses[shown] ?? 0) + 1;
          const why = faultIn(next.value, outcome);
          if (why !== undefined) failures.push(`mutant ${number}: ${why}\n  ${shownOf(next.value)}`);
        }
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, sendOneByOne));
      if (gateway.ended()) throw new Error(`the gateway exited:\n${gateway.output().slice(-4_000)}`);
      if (performance.now() > end) failures.push(`pass ${pass} had not ended when the time was up, at mutant ${index}`);
      await stack.quiet(QUIET_WITHIN_MS).catch((error) => failures.push(String(error)));
      const seen = await loop.seen(gateway.pid);
      const seconds = (performance.now() - startedAt) / 1_000;
      passes.push({ seconds, statuses, ...seen });
      const text = Object.entries(statuses).map(([status, n]) => `${status}: ${n}`);
      say(`pass ${pass}: ${seconds.toFixed(0)} s; ${text.join(', ')}`);
      say(
        `  heap ${megabytes(seen.heap)}, RSS ${megabytes(seen.rss)}; longest turn of the event loop ${seen.blockMs.toFixed(0)} ms of CPU, ` +
          `longest delay ${seen.delayMs.toFixed(0)} ms`,
      );
    }
    const after = (await stack.engines()).map(({ pid }) => pid);
    if (String(after) !== String(engines)) failures.push(`engines ended: ${String(engines)} became ${String(after)}`);
    const bad = gateway.output().match(/^\{"level":"error".*$/gm) ?? [];
    failures.push(...bad.slice(0, 5).map((line) => `the log says: ${line.slice(0, 500)}`));
    const left = await stack.keysLeft();
    if (left.length > 0) failures.push(`left in Redis: ${left.slice(0, 5).join(', ')}`);
    return { count, failures, passes };
  } finally {
    agent.destroy();
    await stack.stop();
    picture.close();
  }
}

/**
 * Memory after the last of several identical passes, beyond that after the first.
 * @param {readonly Pass[]} passes @param {number} share that it may grow by @param {readonly ('heap' | 'rss')[]} kinds
 */
export function memoryFaults(passes, share, kinds) {
  const [first, last] = [passes[0], passes.at(-1)];
  if (first === undefined || last === undefined) return ['no pass ended'];
  const grown = kinds.filter((kind) => last[kind] > first[kind] * (1 + share));
  return grown.map((kind) => `${kind} grew from ${megabytes(first[kind])} to ${megabytes(last[kind])}`);
}

/** @param {import('./mutants.mjs').Mutant} mutant @param {import('./send-mutant.mjs').Outcome} outcome */
function faultIn({ method, cuts, headers }, { how, status, headers: told, text, isWhole }) {
  if (how === 'left') return undefined;
  if (how === 'silent') return 'no answer within its time';
  // Only bytes that are not one readable request may end without an answer.
  if (how === 'closed')
    return cuts === undefined && headers['upgrade'] === undefined ? 'closed without an answer' : undefined;
  const inner = Number(told['ms-azureml-model-error-statuscode'] ?? 0);
  for (const each of [status, inner])
    if (each >= 500 && !MAY_BE.includes(each)) return `${each}: ${text.slice(0, 300)}`;
  const type = String(told['content-type'] ?? '');
  const isTold = status >= 400 || type.startsWith('text/event-stream');
  if (isTold && /"code":\s*"internal"/.test(text)) return `an internal error in a ${status}: ${text.slice(0, 300)}`;
  if (status < 400 || !isWhole || method === 'HEAD' || !type.startsWith('application/json')) return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return `the body of a ${status} is no JSON: ${text.slice(0, 100)}`;
  }
}

/** @param {import('./mutants.mjs').Mutant} mutant */
function shownOf({ method, path, headers, body, chunks, cuts, toInternal }) {
  const { authorization: _, ...shown } = headers;
  const head = `${toInternal ? 'internal ' : ''}${method} ${path.slice(0, 200)} ${JSON.stringify(shown).slice(0, 300)}`;
  const how = `${chunks.length > 0 ? ` chunks ${chunks.join(',')}` : ''}${cuts === undefined ? '' : ` cuts ${JSON.stringify(cuts)}`}`;
  return `${head}${how}\n  ${body?.toString('latin1').slice(0, 600) ?? ''}`;
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
