import { readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeFolder } from '#runtime/folder';
import type { Log } from '#runtime/log';
import { clearLeftovers } from './leftovers.ts';
import { groupGone, groupMembers, processFact, signalGroup } from './process-group.ts';

const Life = z.object({ pid: z.number().int().positive(), start: z.string() });
const Note = z.object({
  boot: z.string(),
  launcher: Life,
  engines: z.array(
    z.object({
      id: z.string(),
      pgid: z.number().int().positive(),
      processes: z.array(Life),
      /** files that the group would leave on the machine; notes of earlier releases lack it */
      files: z.array(z.string()).default([]),
    }),
  ),
});
type Note = z.infer<typeof Note>;

const SWEPT_WITHIN_MS = 10_000;

/**
 * Writes the process groups of running engines to `<folder>/engines-<launcher pid>.json`, one file per launcher. From it
 * the next launcher kills the orphans of a killed launcher. The guards do this first; the file is for guards that failed.
 */
export class EngineLedger {
  readonly #folder: string;
  readonly #file: string;
  readonly #log: Log;
  readonly #engines = new Map<string, Note['engines'][number]>();

  /** @throws Error in one sentence when the folder cannot be created, or another user owns it or can enter it */
  constructor(folder: string, log: Log) {
    try {
      makeFolder(folder);
    } catch (cause) {
      const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : String(cause);
      throw new Error(
        `the folder ${folder} (WORKER_STATE_DIR) cannot be created (${code}): set WORKER_STATE_DIR to another folder`,
        { cause },
      );
    }
    // The launcher kills processes that these files name, so no other user must write them.
    const { uid, mode } = statSync(folder);
    if (process.getuid !== undefined && uid !== process.getuid())
      throw new Error(
        `the folder ${folder} (WORKER_STATE_DIR) belongs to another user: set WORKER_STATE_DIR to another folder`,
      );
    // A user who can enter the folder can call the engines without a key.
    if ((mode & 0o077) !== 0)
      throw new Error(
        `other users can enter the folder ${folder} (WORKER_STATE_DIR), which has the sockets of the engines; its mode is ${(mode & 0o777).toString(8)}: run chmod 700 on it, or set WORKER_STATE_DIR to a folder that does not exist yet`,
      );
    this.#folder = folder;
    this.#log = log;
    this.#file = join(folder, `engines-${process.pid}.json`);
  }

  /**
   * Notes a group and its current processes; called again when the engine gets more of them.
   * @param files to remove once the group has ended
   */
  note(id: string, pgid: number, files: readonly string[] = []): void {
    const processes = groupMembers(pgid).map(({ pid, start }) => ({ pid, start }));
    const note = { id, pgid, processes, files: [...files] };
    if (JSON.stringify(note) === JSON.stringify(this.#engines.get(id))) return;
    this.#engines.set(id, note);
    this.#write();
  }

  /** The group has ended. */
  forget(id: string): void {
    this.#engines.delete(id);
    this.#write();
  }

  /**
   * Kills the groups that earlier launchers left running.
   * A group is killed only if one of its noted processes runs: same pid, start time, group and boot.
   * @returns the groups that were killed
   */
  async sweep(): Promise<number[]> {
    const killed: number[] = [];
    const files: string[] = [];
    for (const name of readdirSync(this.#folder)) {
      if (!/^engines-\d+\.json$/.test(name)) continue;
      const path = join(this.#folder, name);
      const note = readNote(path);
      if (note !== undefined && isAlive(note.launcher) && note.boot === bootId()) continue;
      for (const { pgid, processes, files: left } of note?.boot === bootId() ? note.engines : []) {
        files.push(...left);
        if (!processes.some((life) => isAlive(life) && processFact(life.pid)?.pgid === pgid)) continue;
        signalGroup(pgid, 'SIGKILL');
        killed.push(pgid);
      }
      rmSync(path, { force: true });
    }
    // Their GPU memory is free only after they have ended.
    await Promise.all(killed.map((pgid) => groupGone(pgid, SWEPT_WITHIN_MS)));
    clearLeftovers(files);
    return killed;
  }

  #write(): void {
    const launcher = { pid: process.pid, start: processFact(process.pid)?.start ?? '' };
    const note: Note = { boot: bootId(), launcher, engines: [...this.#engines.values()] };
    try {
      if (note.engines.length === 0) {
        rmSync(this.#file, { force: true });
        return;
      }
      writeFileSync(`${this.#file}.new`, JSON.stringify(note), { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } catch (cause) {
      // A full disk must not stop an engine; the guards still work.
      this.#log.warn({ file: this.#file, cause }, 'the list of running engines cannot be written');
    }
  }
}

function readNote(path: string): Note | undefined {
  try {
    return Note.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

function isAlive(life: z.infer<typeof Life>): boolean {
  const fact = processFact(life.pid);
  return fact !== undefined && !fact.zombie && fact.start === life.start;
}

/** Start times count from boot, so they identify a process only within one boot. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
