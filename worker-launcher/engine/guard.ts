import { spawn } from 'node:child_process';
import { signalGroup } from './process-group.ts';

/**
 * The first line is the group, each further one a file that the group would leave; the loop ends with the launcher: the
 * pipe's other end is held by it alone (Node opens it close-on-exec), so it closes however the launcher dies. A file that
 * a living process has mapped stays, and all stay where `grep` is not there to tell. `-s KILL`, as dash does not take `-KILL --`.
 * $1 is how many seconds the group has to end by itself.
 */
const SCRIPT = `
grace=$1
read -r group || exit 0
set --
while read -r path; do set -- "$@" "$path"; done
while [ "$grace" -gt 0 ] && kill -s 0 -- "-$group" 2>/dev/null; do sleep 1; grace=$((grace - 1)); done
kill -s KILL -- "-$group"
for second in 1 2 3 4 5; do
  [ $# -gt 0 ] && kill -s 0 -- "-$group" 2>/dev/null && sleep 1
done
for path; do
  grep -qsF -- "$path" /proc/[0-9]*/maps
  case $? in 0 | 126 | 127) ;; *) rm -f -- "$path" ;; esac
done
`;

/** A tiny process that outlives the launcher just long enough to kill one process group and clear what it left. */
export interface Guard {
  /** To be called once, at once after the group's birth. */
  watch(pgid: number): void;
  /** A file that is to go when the group is gone. To be called after `watch`, once a file. */
  note(path: string): void;
  /** To be called when the group is gone: its number may be given to others, who must not be hit. */
  release(): void;
}

/**
 * Started before its engine, so that only one write lies between the engine's birth and its guard.
 * @param graceSeconds how long the group may go on without the launcher
 */
export function startGuard(graceSeconds = 0): Guard {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'penstock-engine-guard', String(graceSeconds)], {
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
      child.stdin.write(`${pgid}\n`);
    },
    note: (path) => {
      child.stdin.write(`${path}\n`);
    },
    release: () => {
      const alive = child.exitCode === null && child.signalCode === null;
      if (alive && child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      child.stdin.destroy();
    },
  };
}
