// @ts-check
import { spawn } from 'node:child_process';

/**
 * Ends the processes that would outlive a killed start process. Its input is a pipe that only the start process holds, so
 * the input ends when the start process does. It is a shell because that needs only a megabyte.
 * The last line of each kind counts: `programs PIDS`, `redis PIDS`, `container COMMAND`; `done` ends the guard.
 * Programs notice the exit of their parent and finish running requests. After $1 fifths of a second they are killed, with
 * their process groups. A zombie counts as ended. Redis does not notice, so it is stopped after the programs that need it.
 */
const SCRIPT = `
programs=; redis=; container=
while read -r kind rest; do
  case $kind in
    programs) programs=$rest ;;
    redis) redis=$rest ;;
    container) container=$rest ;;
    done) exit 0 ;;
  esac
done
lives() {
  kill -0 $1 2>/dev/null || return 1
  [ -r /proc/$1/stat ] && read -r stat </proc/$1/stat || return 0
  case \${stat##*) } in [ZX]*) return 1 ;; esac
}
gone() { for pid in $*; do lives $pid && return 1; done; return 0; }
wait_for() { left=$1; shift; while [ $left -gt 0 ] && ! gone $*; do sleep 0.2; left=$((left - 1)); done; }
wait_for $1 $programs
for pid in $programs; do kill -s KILL -- -$pid 2>/dev/null; done
for pid in $redis; do kill -s TERM $pid 2>/dev/null; done
wait_for 8 $redis
for pid in $redis; do kill -s KILL -- -$pid 2>/dev/null; done
[ -z "$container" ] || $container >/dev/null 2>&1
`;

/**
 * @typedef {object} Guard
 * @property {number | undefined} pid
 * @property {(kind: 'programs' | 'redis' | 'container', text: string) => void} tell
 * @property {() => void} dismiss call it after everything has ended
 */

/**
 * @param {number} programsMs time for programs to finish after their parent has exited
 * @returns {Guard}
 */
export function startGuard(programsMs) {
  const args = ['-c', SCRIPT, 'penstock-guard', String(Math.ceil(programsMs / 200))];
  // detached: Ctrl-C goes to the terminal's entire process group and must not reach the guard
  const child = spawn('/bin/sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  child.unref();
  child.on('error', () => {});
  // a killed guard must not end the start process
  child.stdin.on('error', () => {});
  return {
    pid: child.pid,
    tell: (kind, text) => void child.stdin.write(`${kind} ${text}\n`),
    dismiss: () => void child.stdin.end('done\n'),
  };
}
