// @ts-check
import { LOOKING_IS_CHEAP, commandLineOf, factsOf, stillRuns } from './identity.mjs';

/** @typedef {{ pid: number, born: string }} Ancestor */

const PACKAGE_RUNNER = /(^|[/\s])(npm|npx|pnpm|yarn)/;
const LOOK_EVERY_MS = LOOKING_IS_CHEAP ? 500 : 2_000;

/**
 * The processes between this one and the npm that runs it, npm included. npm starts scripts through a shell. A killed npm
 * signals neither the shell nor us, so they must be watched. If no ancestor is npm, it returns the parent alone.
 * @param {NodeJS.ProcessEnv} env npm sets `npm_lifecycle_event` for its scripts
 * @returns {Ancestor[]} empty if npm did not start us
 */
export function ancestorsUpToNpm(env) {
  if (env['npm_lifecycle_event'] === undefined) return [];
  /** @type {Ancestor[]} */
  const chain = [];
  for (let pid = process.ppid; pid > 1;) {
    const facts = factsOf(pid);
    if (facts === undefined) break;
    chain.push({ pid, born: facts.born });
    if (PACKAGE_RUNNER.test(commandLineOf(pid))) return chain;
    pid = facts.parent;
  }
  return chain.slice(0, 1);
}

/**
 * Calls `onGone` once, when one of them has exited.
 * @param {readonly Ancestor[]} ancestors
 * @param {() => void} onGone
 * @returns {() => void} ends the watch
 */
export function watchAncestors(ancestors, onGone) {
  if (ancestors.length === 0) return () => {};
  const timer = setInterval(() => {
    if (ancestors.every(stillRuns)) return;
    clearInterval(timer);
    onGone();
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
