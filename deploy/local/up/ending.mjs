// @ts-check
import { ancestorsUpToNpm, watchAncestors } from './ancestors.mjs';

/**
 * Under npm, Ctrl-C arrives twice: from the terminal and from npm. Only a signal after this time counts as a second one.
 */
const SAME_SIGNAL_MS = 1_000;

/**
 * Combines all requests to stop into one abort: SIGINT, SIGTERM, SIGHUP, and the exit of the npm that runs us.
 * @param {NodeJS.ProcessEnv} env
 * @param {() => void} atOnce called for a second signal: kill all and exit
 * @returns {{ signal: AbortSignal, release: () => void }} the abort's reason is a text for people
 */
export function askedToEnd(env, atOnce) {
  const controller = new AbortController();
  let firstAt = 0;
  /** @param {string} why */
  const ask = (why) => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort(why);
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      atOnce();
    }
  };
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  for (const name of signals) process.on(name, ask);
  const endWatch = watchAncestors(ancestorsUpToNpm(env), () => {
    if (!controller.signal.aborted) ask('npm exited');
  });
  return {
    signal: controller.signal,
    release: () => {
      endWatch();
      for (const name of signals) process.off(name, ask);
    },
  };
}
