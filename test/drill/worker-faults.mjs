// @ts-check
import { quantile, runDrill } from './drill.mjs';
import { known, latenessMs, pause, sendSignal, until } from './processes.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill @typedef {import('./drill.mjs').Scene} Scene */

/** More than the 10 s after which BullMQ gives a silent worker's job to another one. */
const FROZEN_MS = 12_000;
const TAKEN_WITHIN_MS = 60_000;
/** The requests of a launcher that is lost wait while another one starts, which a busy machine does slowly. */
const PATIENT = { GATEWAY_REQUEST_TIMEOUT_MS: '120000', GATEWAY_SCORE_TIMEOUT_MS: '120000' };
const HUNG_AFTER_MS = 150_000;
/** Time limit for another launcher to answer the requests of a lost one. */
const ANSWERED_WITHIN_MS = 6_000;

/** @param {Scene} scene @param {import('./stack.mjs').Launcher | undefined} launcher */
async function dispatcherOf({ stack }, launcher) {
  if (launcher === undefined) throw new Error('no launcher');
  const { dispatchers } = await stack.status(launcher);
  const process = known(dispatchers[0]?.pid ?? 0);
  if (process === undefined) throw new Error('no dispatcher');
  return process;
}

/** @type {Drill} */
const dispatcherKilled = {
  name: 'dispatcher-killed',
  about: 'kill -9 of a dispatcher, a second launcher runs',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { launchers: 2 },
      fault: async (scene) => {
        const load = scene.load();
        await load.underWay(setup.requests / 3);
        sendSignal(await dispatcherOf(scene, scene.stack.launchers[0]), 'SIGKILL');
      },
    }),
};

/** @type {Drill} */
const dispatcherFrozen = {
  name: 'dispatcher-frozen',
  about: `SIGSTOP of a dispatcher for ${FROZEN_MS / 1_000} s, longer than the lock of its jobs, then SIGCONT`,
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { launchers: 2 },
      fault: async (scene) => {
        const half = Math.ceil(setup.requests / 2);
        // Some during the entire drill, and many at the moment of the fault.
        scene.load({ requests: half, everyMs: (FROZEN_MS * 1.2) / half });
        const load = scene.load({ requests: half });
        await load.underWay(half / 2);
        const dispatcher = await dispatcherOf(scene, scene.stack.launchers[0]);
        sendSignal(dispatcher, 'SIGSTOP');
        await pause(FROZEN_MS);
        sendSignal(dispatcher, 'SIGCONT');
      },
    }),
};

/**
 * Requests that the first launcher took and never answers, because its engine is saturated; a second launcher starts, and
 * the first one is lost.
 * @param {string} name @param {string} about @param {(scene: Scene) => Promise<void>} lose
 * @returns {Drill}
 */
function launcherLost(name, about, lose) {
  return {
    name,
    about,
    run: (setup) =>
      runDrill(setup, {
        isFelt: true,
        stack: { gatewayEnv: PATIENT },
        load: { hungAfterMs: HUNG_AFTER_MS },
        fault: async (scene) => {
          const { stack } = scene;
          const [engine] = await stack.engines();
          if (engine === undefined) throw new Error('no engine');
          await stack.fault(engine, { saturate: true });
          const count = Math.ceil(setup.requests / 3);
          const waiting = scene.load({ requests: count, everyMs: 0, tokens: 30 });
          const areTaken = async () => {
            const [{ inFlight } = { inFlight: { text: 0, image: 0 } }] = await stack.engines();
            return inFlight.text + inFlight.image === count;
          };
          await until('the first launcher took all', areTaken, TAKEN_WITHIN_MS);
          await stack.startLauncher();
          await stack.ready(2);
          const fresh = scene.load();
          await fresh.underWay(setup.requests / 3);
          const lostAt = performance.now();
          await lose(scene);
          await waiting.ended;
          const afterMs = waiting.answers.map(({ firstAt, endedAt }) => (firstAt === 0 ? endedAt : firstAt) - lostAt);
          const [median, longest] = [quantile(afterMs, 0.5), quantile(afterMs, 1)].map(Math.round);
          scene.note(`${count} waiting answered by another launcher: p50 ${median} ms, max ${longest} ms`);
          const { complete } = waiting.ledger.row;
          scene.check(complete === count, `${complete} of ${count} waiting requests were answered`);
          scene.check(
            Number(longest) < ANSWERED_WITHIN_MS + latenessMs(1),
            `the last waiting one was answered after ${longest} ms`,
          );
        },
      }),
  };
}

const launcherKilled = launcherLost(
  'launcher-killed',
  'kill -9 of a launcher, a second one runs',
  async ({ stack }) => {
    stack.launchers[0]?.signal('SIGKILL');
  },
);

const nodeLost = launcherLost('node-lost', 'kill -9 of a launcher and all its processes together', async (scene) => {
  const launcher = scene.stack.launchers[0];
  if (launcher === undefined) throw new Error('no launcher');
  const { engines, dispatchers } = await scene.stack.status(launcher);
  const groups = [...dispatchers, ...engines]
    .map(({ pid }) => known(pid ?? 0))
    .filter((process) => process !== undefined);
  launcher.signal('SIGKILL');
  for (const group of groups) sendSignal(group, 'SIGKILL', { group: true });
});

export const WORKER_DRILLS = [dispatcherKilled, dispatcherFrozen, launcherKilled, nodeLost];
