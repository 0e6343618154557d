// @ts-check
import { ancestorsUpToNpm, watchAncestors } from './ancestors.mjs';

/**
 * A Ctrl-C under npm arrives twice, from the terminal and passed on by npm: only a signal after this long is a second one.
 */
const SAME_SIGNAL_MS = 1_000;

/**
 * Turns everything that asks us to end into one abort: SIGINT, SIGTERM, SIGHUP, and the end of the npm that runs us.
 * @param {NodeJS.ProcessEnv} env
 * @param {() => void} atOnce called for a second signal: kill and leave
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
    if (!controller.signal.aborted) ask('npm is gone');
  });
  return {
    signal: controller.signal,
    release: () => {
      endWatch();
      for (const name of signals) process.off(name, ask);
    },
  };
}
