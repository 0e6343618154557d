// @ts-check
import { runDrill } from './drill.mjs';
import { known, sendSignal } from './processes.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill @typedef {import('./drill.mjs').Scene} Scene */

/** 1 % may be lost if a cut hits an unlucky place. */
const LOST_AT_MOST = 0.01;

/** The busiest engine. @param {Scene} scene */
async function busiest({ stack }) {
  const engines = (await stack.engines()).filter(({ state }) => state === 'ready');
  const [engine] = engines.toSorted((a, b) => b.inFlight.text - a.inFlight.text);
  if (engine === undefined) throw new Error('no engine is ready');
  return engine;
}

/** @param {Scene} scene @param {NodeJS.Signals} signal @param {{ group?: boolean }} [options] */
async function signalEngine(scene, signal, options) {
  const engine = await busiest(scene);
  const process = known(engine.pid ?? 0);
  if (process === undefined) throw new Error('the engine has no process');
  sendSignal(process, signal, options);
}

/** @param {Scene} scene */
function checkLost(scene) {
  const { sent, errors } = /** @type {import('./load.mjs').Load} */ (scene.loads[0]).ledger.row;
  scene.check(errors <= Math.max(1, sent * LOST_AT_MOST), `${errors} of ${sent} ended in an error`);
}

/** @type {Drill} */
const killed = {
  name: 'engine-killed',
  about: 'kill -9 of one of two engines',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { engines: 2 },
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        await signalEngine(scene, 'SIGKILL');
      },
      after: async (scene) => checkLost(scene),
    }),
};

/** @type {Drill} */
const continued = {
  name: 'streams-continued',
  about: 'kill -9 of an engine under 100 plain-text streams, a second one ready',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      // All streams begin before the fault, which even a busy machine must send before they end.
      stack: { engines: 2, workerEnv: { PENSTOCK_SIM_ITL_MS: '60' } },
      load: { only: 'stream', everyMs: 0, tokens: 100 },
      fault: async (scene) => {
        const streams = setup.short ? setup.requests : 100;
        const load = scene.load({ requests: streams });
        await load.underWay(streams, streams);
        await signalEngine(scene, 'SIGKILL');
        await load.ended;
        scene.note(`${load.ledger.row.complete} of ${streams} finished, text as undisturbed`);
      },
      after: async (scene) => checkLost(scene),
    }),
};

/** @type {Drill} */
const frozen = {
  name: 'engine-frozen',
  about: 'SIGSTOP of one of two engines and its group, without SIGCONT',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { engines: 2, gatewayEnv: setup.short ? { GATEWAY_IDLE_TIMEOUT_MS: '1500' } : {} },
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        await signalEngine(scene, 'SIGSTOP', { group: true });
      },
    }),
};

/** The gateway's timeout is longer here, so that the worker's is tested. */
const PATIENT = { GATEWAY_IDLE_TIMEOUT_MS: '30000' };

/** @type {Drill} */
const mute = {
  name: 'engine-mute',
  about: 'one of two engines accepts requests and never answers, but makes steps and /health is 200',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { engines: 2, gatewayEnv: PATIENT, workerEnv: { WORKER_MUTE_MS: '2000' } },
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        await scene.stack.fault(await busiest(scene), { mute: true, saturate: true });
      },
      after: async (scene) => checkLost(scene),
    }),
};

const SLOW_LOADS = 20;
/** @type {Drill} */
const slow = {
  name: 'engine-slow',
  about: 'one of two engines is ten times slower',
  run: (setup) =>
    runDrill(setup, {
      stack: { engines: 2, gatewayEnv: PATIENT, workerEnv: { WORKER_SLOW_WINDOW_MS: '3000' } },
      fault: async (scene) => {
        await scene.stack.fault(await busiest(scene), { slow: 10 });
        const isOut = () => scene.stack.launchers[0]?.output().includes('engine taken out') === true;
        for (let n = 0; n < SLOW_LOADS && !isOut(); n += 1) await scene.load().ended;
        scene.check(isOut(), 'the slow engine was not taken out');
      },
      after: async (scene) => {
        const lost = scene.loads.reduce((sum, { ledger }) => sum + ledger.row.errors, 0);
        scene.check(lost === 0, `${lost} ended in an error`);
      },
    }),
};

/**
 * Faults of the simulator on one of two engines, each for a few of the requests sent after it is set.
 * @param {string} name @param {string} about @param {readonly Record<string, number | boolean>[]} faults
 * @returns {Drill}
 */
function upstream(name, about, faults) {
  return {
    name,
    about,
    run: (setup) =>
      runDrill(setup, {
        isFelt: true,
        stack: { engines: 2 },
        fault: async (scene) => {
          const share = Math.ceil(setup.requests / (faults.length + 1));
          let load = scene.load({ requests: share });
          for (const [index, fault] of faults.entries()) {
            await load.underWay(share / 2);
            const engine = await busiest(scene);
            await scene.stack.fault(engine, { times: Math.ceil(setup.requests / 20), ...fault });
            const from = share * (index + 1);
            load = scene.load({ requests: Math.min(share, setup.requests - from), from });
          }
        },
      }),
  };
}

export const ENGINE_DRILLS = [
  killed,
  continued,
  frozen,
  mute,
  slow,
  upstream('stream-cut', 'an engine closes the socket in the middle of streams', [
    { 'cut-after': 0 },
    { 'cut-after': 7 },
  ]),
  // After the few events of a launcher's own test request, which would otherwise meet the fault.
  upstream('stream-malformed', 'an engine writes an event that is not JSON', [{ 'malformed-at': 9 }]),
  upstream('engine-errors', 'an engine answers 503, 500 and error events, and its core dies', [
    { refuse: true },
    { 'fail-requests': true },
    { 'error-after': 6 },
    { 'kill-core-after': 20 },
  ]),
];
