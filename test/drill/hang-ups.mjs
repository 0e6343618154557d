// @ts-check
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantile, runDrill } from './drill.mjs';
import { latenessMs, pause, ROOT, until } from './processes.mjs';
import { question } from './questions.mjs';
import { RawClient } from './raw-client.mjs';

/** @typedef {import('./drill.mjs').Scene} Scene @typedef {import('./questions.mjs').Question} Question */

const PRELOAD = fileURLToPath(new URL('../support/stamp-aborts.mjs', import.meta.url));
const SLOTS = 64;
const TOKENS = 4_000;
const LIMIT_MS = 60_000;
const ABORTED_WITHIN_MS = 250;
/** Pause between two hang-ups, so that each is measured alone. */
const APART_MS = 15;
/** Finished jobs are kept for a minute, so that a repeated `add` has no effect. */
const KEYS_GONE_WITHIN_MS = 60_000;

/**
 * State of a request when its client leaves, and its form.
 * @typedef {'queued' | 'claimed' | 'streaming' | 'whole'} Phase
 * @type {readonly { phase: Phase, kind: Question['kind'] }[]}
 */
const CASES = [
  { phase: 'queued', kind: 'stream' },
  { phase: 'queued', kind: 'score' },
  { phase: 'claimed', kind: 'stream' },
  { phase: 'claimed', kind: 'whole' },
  { phase: 'claimed', kind: 'score' },
  { phase: 'streaming', kind: 'stream' },
  { phase: 'whole', kind: 'whole' },
  { phase: 'whole', kind: 'score' },
];
/** Of the requests on a dispatcher, one in this many leaves right after the loss of its control connection: 10 of 150. */
const DEAF_EVERY = 15;

/** A client that left. @typedef {{ name: string, phase: Phase, kind: string, leftAt: bigint }} Leaver */

/** @type {import('./drill.mjs').Drill} */
export const hangUps = {
  name: 'hang-ups',
  about: 'clients hang up in every phase and dialect, the control connection killed before some; FIN to abort measured',
  run: (setup) =>
    runDrill(setup, {
      stack: { launchers: 0, gatewayEnv: { GATEWAY_REQUEST_TIMEOUT_MS: '120000', GATEWAY_SCORE_TIMEOUT_MS: '120000' } },
      fault: async (scene) => {
        const stamps = await startStampedEngine(scene);
        const each = setup.short ? 3 : 25;
        /** @type {Leaver[]} */
        const leavers = [];
        for (const [index, { phase, kind }] of CASES.entries()) {
          const names = Array.from({ length: each }, (_, n) => `hang-${index}-${n}`);
          leavers.push(...(await hangUp(scene, stamps, { phase, kind, from: leavers.length }, names)));
        }
        await judgeAborts(scene, stamps, leavers);
        await scene.stack.quiet(LIMIT_MS);
        const slots = (await scene.stack.engines()).map(({ inFlight }) => inFlight.text + inFlight.image);
        scene.note(`${leavers.length} hang-ups, ${slots.reduce((a, b) => a + b, 0)} slots leaked`);
        const left = await scene.stack.keysLeft();
        scene.check(left.length === 0, `${left.length} bodies or places were left in Redis`);
        await scene.load({ requests: 8 }).ended;
        if (!setup.short) await judgeKeys(scene);
      },
    }),
};

/** A launcher whose `vllm` is the simulator with timestamps of aborts. @param {Scene} scene @returns {Promise<string>} the file of stamps */
async function startStampedEngine({ stack }) {
  const stamps = join(stack.folder, 'stamps');
  writeFileSync(stamps, '');
  const simulator = join(ROOT, 'dist/worker-launcher/simulator/main.js');
  const path = await stack.commandVllm(
    `export PENSTOCK_SIM_ITL_MS=20 PENSTOCK_STAMPS_FILE='${stamps}'\n` +
      `exec '${process.execPath}' --import '${PRELOAD}' '${simulator}' "$@"`,
  );
  await stack.startLauncher({
    PATH: path,
    WORKER_ENGINE: 'vllm',
    WORKER_ENGINE_ARGS: '--enable-log-requests',
    WORKER_MAX_IN_FLIGHT_TEXT: String(SLOTS),
  });
  await stack.ready(1);
  return stamps;
}

/**
 * Brings requests into a phase, then lets their clients leave one by one.
 * @param {Scene} scene @param {string} stamps @param {{ phase: Phase, kind: Question['kind'], from: number }} where `from`: number of earlier leavers @param {readonly string[]} names
 * @returns {Promise<Leaver[]>}
 */
async function hangUp(scene, stamps, { phase, kind, from }, names) {
  const { stack } = scene;
  const [engine] = await stack.engines();
  if (engine === undefined) throw new Error('no engine');
  const isWaiting = phase === 'queued' || phase === 'claimed';
  if (isWaiting) await stack.fault(engine, { saturate: true });
  const blockers =
    phase === 'queued' ? Array.from({ length: SLOTS }, (_, n) => client(scene, 'stream', `block-${n}`)) : [];
  const before = receivedIn(stamps);
  await Promise.all(blockers.map((one) => one.send()));
  await until('the engine is full', () => receivedIn(stamps) >= before + blockers.length, LIMIT_MS);

  const clients = names.map((name) => ({ name, one: client(scene, kind, name) }));
  await Promise.all(clients.map(({ one }) => one.send()));
  if (phase === 'queued')
    await until('they are queued', async () => (await stack.metric('penstock_queue_depth')) === names.length, LIMIT_MS);
  else await until('the engine has them', () => receivedIn(stamps) >= before + names.length, LIMIT_MS);
  if (phase === 'streaming') await Promise.all(clients.map(({ one }) => one.has(1_000, LIMIT_MS)));

  const leavers = [];
  for (const [index, { name, one }] of clients.entries()) {
    if (phase !== 'queued' && (from + index) % DEAF_EVERY === 5)
      await stack.redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    leavers.push({ name, phase, kind, leftAt: one.leave() });
    await pause(APART_MS);
  }
  if (phase === 'queued')
    await until('the queue is empty', async () => (await stack.metric('penstock_queue_depth')) === 0, LIMIT_MS);
  for (const one of blockers) one.leave();
  // A saturated simulator reports itself as full.
  if (isWaiting) await stack.fault(engine, null);
  await stack.quiet(LIMIT_MS);
  return leavers;
}

/** @param {Scene} scene @param {Question['kind']} kind @param {string} name */
function client({ stack }, kind, name) {
  const { path, body } = question(0, TOKENS, kind);
  const lasting = kind === 'score' ? { input_data: { ...longScore(body) } } : { ...body, ignore_eos: true };
  return new RawClient(stack.gateways[0]?.port ?? 0, path, lasting, { 'x-request-id': name });
}

/** @param {any} body */
function longScore({ input_data: { input_string, parameters } }) {
  return { input_string, parameters: { ...parameters, ignore_eos: true } };
}

/** @param {string} stamps */
function receivedIn(stamps) {
  return readFileSync(stamps, 'utf8').split(' Received request').length - 1;
}

/** From the client's FIN to the engine's abort, on one clock. @param {Scene} scene @param {string} stamps @param {readonly Leaver[]} leavers */
async function judgeAborts(scene, stamps, leavers) {
  const ids = requestIds(scene);
  const lines = readFileSync(stamps, 'utf8').split('\n');
  /** @type {Map<string, number[]>} */
  const delays = new Map();
  for (const { name, phase, kind, leftAt } of leavers) {
    const id = ids.get(name);
    const ofIt = lines.filter((line) => id !== undefined && line.includes(`-${id}-`));
    const aborted = ofIt.find((line) => line.includes('Aborted'));
    if (phase === 'queued') {
      scene.check(ofIt.length === 0, `${name}: left while it was queued, and reached an engine`);
      continue;
    }
    scene.check(aborted !== undefined, `${name} (${phase}, ${kind}): the engine was not told`);
    if (aborted === undefined) continue;
    const delayMs = Number(BigInt(aborted.split(' ')[0] ?? '0') - leftAt) / 1e6;
    delays.set(phase, [...(delays.get(phase) ?? []), delayMs]);
  }
  const all = [...delays.values()].flat();
  const show = (/** @type {readonly number[]} */ values) =>
    [0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(1)).join(' / ');
  scene.note(
    `FIN to abort, p50 / p99 / max in ms: all ${show(all)}; ${[...delays].map(([phase, ms]) => `${phase} ${show(ms)}`).join('; ')}`,
  );
  scene.check(
    quantile(all, 0.99) < ABORTED_WITHIN_MS + latenessMs(0.99),
    `p99 from FIN to abort is ${quantile(all, 0.99).toFixed(0)} ms`,
  );
}

/** The gateway's request ids by the caller's, from its log. @param {Scene} scene */
function requestIds({ stack }) {
  const lines = stack.gateways
    .flatMap(({ output }) => output().split('\n'))
    .filter((line) => line.includes('"callerRequestId"'));
  return new Map(
    lines.map((line) => {
      const { callerRequestId, requestId } = JSON.parse(line);
      return [String(callerRequestId), String(requestId)];
    }),
  );
}

/** @param {Scene} scene */
async function judgeKeys(scene) {
  const ids = [...requestIds(scene)].filter(([name]) => name.startsWith('hang-')).map(([, id]) => id);
  let left = 0;
  const areGone = async () => {
    const keys = await scene.stack.keys();
    left = keys.filter((key) => ids.some((id) => key.includes(`:${id}-`) || key.endsWith(`:${id}`))).length;
    return left === 0;
  };
  const since = performance.now();
  await until('no key is left', areGone, KEYS_GONE_WITHIN_MS + 5_000).catch(() => {});
  scene.note(`${left} keys of them in Redis after ${((performance.now() - since) / 1_000).toFixed(0)} s`);
  scene.check(left === 0, `${left} keys of clients that left are still in Redis`);
}
