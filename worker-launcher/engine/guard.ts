import { spawn } from 'node:child_process';
import { signalGroup } from './process-group.ts';

/**
 * The first line is the process group; each further line is a file that the group would leave behind. The loop ends when
 * the launcher exits: only the launcher holds the other end of the pipe (Node opens it close-on-exec). A file that a
 * running process has mapped stays; without `grep`, all stay. `-s KILL`, because dash refuses `-KILL --`.
 * $1 is the number of seconds that the group has to exit by itself.
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

/** A small process that outlives the launcher just long enough to kill one process group and remove its files. */
export interface Guard {
  /** Call once, immediately after the group was spawned. */
  watch(pgid: number): void;
  /** Names a file to remove after the group's end. Call after `watch`, once per file. */
  note(path: string): void;
  /** Call when the group has ended, because the system may reuse its number for another group. */
  release(): void;
}

/**
 * Starts a guard; call it before the engine is spawned, so that one write is enough to guard the engine.
 * @param graceSeconds how long the group may run on without the launcher
 */
export function startGuard(graceSeconds = 0): Guard {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'penstock-engine-guard', String(graceSeconds)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
  });
  // If the guard could not start or was killed, the next start kills the orphans.
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
