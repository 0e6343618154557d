// @ts-check
import { runDrill } from '../drill/drill.mjs';
import { rollingRestart } from '../drill/gateway-faults.mjs';
import { known, sendSignal } from '../drill/processes.mjs';

/** @typedef {import('../drill/drill.mjs').Drill} Drill @typedef {import('../drill/stack.mjs').StackOptions} StackOptions */

/** Long enough for a balancer on a busy machine. */
const gatewayEnv = { GATEWAY_DRAIN_DELAY_MS: '5000' };

/**
 * A leaving gateway of 0.1 refuses connections that reach it late, some 1 in 300 (`COMPARED` in `run.mjs`). Its clients must
 * retry, as SDKs do by default. Clients of a leaving gateway of this version need no retry: the rollback has none.
 */
const SDK_RETRIES = 2;

/**
 * Drills of the minutes of an upgrade or rollback, when programs of two versions work together.
 * @param {string} old root of the built older version @param {string} now of this one
 * @returns {Drill[]}
 */
export function skewDrills(old, now) {
  return [
    together('old gateway, new worker', { gatewayRoots: [old] }),
    together('new gateway, old worker', { launcherRoots: [old] }),
    together('both gateways, both workers', {
      gateways: 2,
      launchers: 2,
      gatewayRoots: [old, now],
      launcherRoots: [now, old],
    }),
    engineLost('old gateway, new worker, an engine killed', { gatewayRoots: [old] }),
    engineLost('new gateway, old worker, an engine killed', { launcherRoots: [old] }),
    {
      name: 'upgrade under load',
      about:
        'two old gateways and two old launchers become new ones, one after another; its clients retry twice, as SDKs do by default',
      run: (setup) =>
        rollingRestart(setup, { gatewayEnv, gatewayRoots: [old, old], launcherRoots: [old, old] }, SDK_RETRIES),
    },
    {
      name: 'rollback under load',
      about: 'the same as a rollback',
      run: (setup) =>
        rollingRestart(setup, { gatewayEnv, gatewayRoots: [now, now, old, old], launcherRoots: [now, now, old, old] }),
    },
  ];
}

/** Every request is answered. @param {string} name @param {StackOptions} stack @returns {Drill} */
function together(name, stack) {
  return {
    name,
    about: 'a mixed load, undisturbed',
    run: (setup) =>
      runDrill(setup, {
        stack,
        fault: async (scene) => {
          const load = scene.load();
          await load.ended;
          const { sent, complete } = load.ledger.row;
          scene.check(sent === complete, `${sent - complete} of ${sent} requests failed`);
        },
      }),
  };
}

/** The requests of a killed engine continue on the other one, with any mix of versions. @param {string} name @param {StackOptions} stack @returns {Drill} */
function engineLost(name, stack) {
  return {
    name,
    about: 'kill -9 of one of two engines',
    run: (setup) =>
      runDrill(setup, {
        isFelt: true,
        stack: { ...stack, engines: 2 },
        fault: async (scene) => {
          const load = scene.load();
          await load.underWay(setup.requests / 3);
          const [engine] = await scene.stack.engines();
          const process = known(engine?.pid ?? 0);
          if (process === undefined) throw new Error('the engine has no process');
          sendSignal(process, 'SIGKILL');
          await load.ended;
          const { errors } = load.ledger.row;
          scene.check(errors <= 1, `${errors} requests ended in an error`);
        },
      }),
  };
}
