import { readFileSync, readdirSync } from 'node:fs';

/** What Linux says of one process. */
export interface ProcessFact {
  readonly pid: number;
  readonly pgid: number;
  /** clock ticks from boot to its start: with the pid, a name for this life of the process */
  readonly start: string;
  readonly zombie: boolean;
}

/** @returns undefined when there is no such process, or no `/proc` (source: proc(5), fields 3, 5 and 22 of `stat`) */
export function processFact(pid: number): ProcessFact | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The command's name may hold blanks and brackets; the fields begin after its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, zombie: fields[0] === 'Z', pgid: Number(fields[2]), start: fields[19] ?? '' };
}

/** The living processes of a group; none where there is no `/proc`. */
export function groupMembers(pgid: number): ProcessFact[] {
  return processIds()
    .map(processFact)
    .filter((fact) => fact !== undefined)
    .filter((fact) => fact.pgid === pgid && !fact.zombie);
}

/** Sends a signal to every process of a group; a group that is gone is no error. */
export function signalGroup(pgid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  sent(-pgid, signal);
}

/** Sends a signal to one process; one that is gone is no error. */
export function signalProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  sent(pid, signal);
}

/** Waits until no living process of the group is left. @returns false when some is after `withinMs` */
export async function groupGone(pgid: number, withinMs: number): Promise<boolean> {
  for (const until = Date.now() + withinMs; ;) {
    // Zombies answer to signal 0: they wait for a parent, not for us.
    if (!sent(-pgid, 0) || (processFact(process.pid) !== undefined && groupMembers(pgid).length === 0)) return true;
    if (Date.now() >= until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function sent(target: number, signal: 'SIGTERM' | 'SIGKILL' | 0): boolean {
  try {
    return process.kill(target, signal);
  } catch {
    return false;
  }
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}
