// @ts-check
import { isSound, sumOf } from './ledger.mjs';
import { Load } from './load.mjs';
import { until } from './processes.mjs';
import { Stack } from './stack.mjs';

/**
 * @typedef {object} Setup
 * @property {number} requests approximate number of requests
 * @property {boolean} short the form of the test suite: less load and shorter limits
 * @property {import('./questions.mjs').Oracle} oracle
 *
 * @typedef {object} Outcome
 * @property {import('./ledger.mjs').Row} row
 * @property {string[]} failed failed checks; empty in a good drill
 * @property {string[]} notes interesting figures
 * @property {string[]} sentences ends of requests that were not complete
 *
 * @typedef {object} Drill
 * @property {string} name
 * @property {string} about the fault in a sentence
 * @property {(setup: Setup) => Promise<Outcome>} run
 * @property {() => string | undefined} [missing] missing requirements of this machine
 */

/** The stack and the loads of one drill. */
export class Scene {
  /** @type {Load[]} */
  loads = [];
  /** @type {string[]} */
  failed = [];
  /** @type {string[]} */
  notes = [];

  /** @param {Setup} setup @param {Stack} stack @param {Partial<import('./load.mjs').LoadOptions>} defaults */
  constructor(setup, stack, defaults) {
    this.setup = setup;
    this.stack = stack;
    this.defaults = defaults;
  }

  /** Starts to send requests to the running gateways in turn, unless `url` is set. @param {Partial<import('./load.mjs').LoadOptions>} [options] */
  load(options = {}) {
    let turn = 0;
    const url = () => {
      const running = this.stack.runningGateways();
      turn += 1;
      return running[turn % running.length]?.url ?? '';
    };
    const { requests, short, oracle } = this.setup;
    const from = this.loads.reduce((sum, { sent }) => sum + sent, this.loads.length * requests);
    const hungAfterMs = short ? 60_000 : 120_000;
    const load = new Load({ requests, url, oracle, from, hungAfterMs, ...this.defaults, ...options });
    this.loads.push(load);
    return load;
  }

  /** @param {boolean} holds @param {string} what */
  check(holds, what) {
    if (!holds) this.failed.push(what);
  }

  /** @param {string} text */
  note(text) {
    this.notes.push(text);
  }
}

/** Shorter than the time limit of a hung request. */
const DEADLINE_MS = { short: '20000', full: '45000' };
const QUIET_WITHIN_MS = 60_000;
/** loads, at most, that are sent until a fault meets a request */
const MORE_LOADS = 3;

/**
 * @typedef {object} Plan
 * @property {import('./stack.mjs').StackOptions} [stack]
 * @property {Partial<import('./load.mjs').LoadOptions>} [load]
 * @property {(scene: Scene) => Promise<void>} fault runs with the stack up; the drill waits for its `scene.load`
 * @property {boolean} [isFelt] some requests must meet the fault, else the drill proves nothing
 * @property {(scene: Scene) => Promise<void>} [after] runs after all requests have ended and nothing is held
 */

/**
 * One drill: its own stack, requests, a fault during them, and a final check: the stack must serve as before,
 * hold nothing, and leave no process behind.
 * @param {Setup} setup @param {Plan} plan
 * @returns {Promise<Outcome>}
 */
export async function runDrill(setup, plan) {
  const limit = DEADLINE_MS[setup.short ? 'short' : 'full'];
  const stack = await Stack.start({
    ...plan.stack,
    gatewayEnv: {
      GATEWAY_REQUEST_TIMEOUT_MS: limit,
      GATEWAY_SCORE_TIMEOUT_MS: limit,
      GATEWAY_IDLE_TIMEOUT_MS: '5000',
      ...plan.stack?.gatewayEnv,
    },
    workerEnv: { PENSTOCK_SIM_ITL_MS: '20', ...plan.stack?.workerEnv },
  });
  const scene = new Scene(setup, stack, plan.load ?? {});
  try {
    await plan.fault(scene);
    await Promise.all(scene.loads.map(({ ended }) => ended));
    // A fault of one engine waits for requests that this engine gets.
    for (let n = 0; n < MORE_LOADS && plan.isFelt === true && !(await isFelt(scene)); n += 1) await scene.load().ended;
    const faulted = sumOf(scene.loads.map(({ ledger }) => ledger.row));
    const repeats = await stack.metric('penstock_repeats_total');
    const goneOn = await stack.metric('penstock_continuations_total', '"continued"');
    if (repeats + goneOn > 0)
      scene.note(`attempts repeated: ${repeats}, of them continued after the first byte: ${goneOn}`);
    scene.check(plan.isFelt !== true || (await isFelt(scene)), 'the fault met no request');
    await servesAgain(scene);
    await stack.quiet(QUIET_WITHIN_MS).catch(({ message }) => scene.check(false, message));
    const keys = await stack.keysLeft();
    if (keys.length > 0) scene.note(`${keys.length} keys are left to lapse`);
    await plan.after?.(scene);
    const sentences = scene.loads.flatMap(({ ledger }) => ledger.sentences);
    scene.check(isSound(faulted), 'a request did not end in an answer or an error');
    return { row: faulted, failed: scene.failed, notes: scene.notes, sentences };
  } catch (cause) {
    const outputs = [...stack.gateways, ...stack.launchers].map(({ output }) => output().slice(-1_500));
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}\n${outputs.join('\n')}`, { cause });
  } finally {
    const killed = await stack.stop();
    scene.check(killed === 0, `${killed} processes outlived their launcher`);
  }
}

/** whether a request was repeated or ended in an error @param {Scene} scene */
async function isFelt({ stack, loads }) {
  return (await stack.metric('penstock_repeats_total')) > 0 || loads.some(({ ledger }) => ledger.row.errors > 0);
}

/** Each form of request is answered as before the fault. @param {Scene} scene */
async function servesAgain(scene) {
  const { stack } = scene;
  const isUp = async () => (await stack.engines()).some(({ state }) => state === 'ready');
  await until('an engine is ready', isUp, QUIET_WITHIN_MS).catch(() =>
    scene.check(false, 'no engine became ready again'),
  );
  const load = scene.load({ requests: 4, everyMs: 0 });
  await load.ended;
  scene.check(load.ledger.row.complete === 4, `afterwards ${load.ledger.row.complete} of 4 answered`);
}

/** @param {readonly number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
