import { spawn } from 'node:child_process';
import { signalGroup } from './process-group.ts';

/**
 * `read` gets the group, `cat` waits for the end of the launcher: the pipe's other end is held by the launcher alone
 * (Node opens it close-on-exec), so it closes however the launcher dies. `-s KILL`, as dash does not take `-KILL --`.
 */
const SCRIPT = 'read -r group || exit 0; cat >/dev/null; kill -s KILL -- "-$group"';

/** A tiny process that outlives the launcher just long enough to kill one engine's process group. */
export interface Guard {
  /** To be called once, at once after the engine's spawn. */
  watch(pgid: number): void;
  /** To be called when the group is gone: its number may be given to others, who must not be hit. */
  release(): void;
}

/** Started before its engine, so that only one write lies between the engine's birth and its guard. */
export function startGuard(): Guard {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'penstock-engine-guard'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
  });
  // A guard that could not start or was killed leaves the sweep of the next start.
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  child.unref();
  return {
    watch: (pgid) => {
      child.stdin.write(`${String(pgid)}\n`);
    },
    release: () => {
      const alive = child.exitCode === null && child.signalCode === null;
      if (alive && child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      child.stdin.destroy();
    },
  };
}
