import { readFileSync, readdirSync } from 'node:fs';

/** Facts of one process, from Linux. */
export interface ProcessFact {
  readonly pid: number;
  readonly pgid: number;
  /** clock ticks from boot to its start; identifies the process together with the pid */
  readonly start: string;
  readonly zombie: boolean;
}

/** @returns undefined if the process or `/proc` does not exist (source: proc(5), fields 3, 5 and 22 of `stat`) */
export function processFact(pid: number): ProcessFact | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The command's name may contain blanks and brackets; the fields begin after the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, zombie: fields[0] === 'Z', pgid: Number(fields[2]), start: fields[19] ?? '' };
}

/** The running processes of a group; none if `/proc` does not exist. */
export function groupMembers(pgid: number): ProcessFact[] {
  return processIds()
    .map(processFact)
    .filter((fact) => fact !== undefined)
    .filter((fact) => fact.pgid === pgid && !fact.zombie);
}

/** Sends a signal to every process of a group; an ended group is no error. */
export function signalGroup(pgid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  sent(-pgid, signal);
}

/** Sends a signal to one process; an ended process is no error. */
export function signalProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  sent(pid, signal);
}

/** Waits until no process of the group runs. @returns false if one still runs after `withinMs` */
export async function groupGone(pgid: number, withinMs: number): Promise<boolean> {
  for (const until = Date.now() + withinMs; ;) {
    // Zombies still accept signal 0, but only their parent can remove them.
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
