// @ts-check
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { factsOf, signalQuietly, stillRuns } from './identity.mjs';
import { makeFolder } from './make-folder.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * @typedef {object} Noted one running process in pids.json
 * @property {string} name `start`, `guard`, `redis`, `reply-redis`, `gateway-1`, `worker-launcher-1` …
 * @property {number} pid
 * @property {string} born see ProcessFacts
 * @property {string} [url] of a Redis, with its password: only the owner can read the file
 *
 * @typedef {{ name: string, url: string }} Told a program that is kept running, and the URL of its probes
 *
 * @typedef {object} DataFolder
 * @property {string} path
 * @property {(programs: readonly Told[]) => void} tell writes the programs for `startedIn`
 * @property {(...parts: string[]) => string} inside
 * @property {(name: string, pid: number | undefined, url?: string) => void} note replaces the entry of this name; a pid of
 *   undefined removes it
 * @property {() => void} close removes pids.json after all processes have ended
 */

/**
 * Creates the folder and reserves it for this process. First it ends the processes that a killed start left running.
 * @param {string} path
 * @param {(line: string) => void} say
 * @returns {Promise<DataFolder>}
 * @throws Refusal when it cannot be written, or when another start uses it
 */
export async function openDataFolder(path, say) {
  const file = join(path, 'pids.json');
  makeFolder(path);
  const left = readNoted(file).processes.filter(stillRuns);
  const other = left.find(({ name }) => name === 'start');
  if (other !== undefined)
    throw new Refusal(
      `the data folder ${path} is in use by another start, pid ${other.pid}: stop that one, or choose another folder with --data-dir`,
    );
  if (left.length > 0) {
    say(
      `ending the processes that an earlier start left running: ${left.map(({ name, pid }) => `${name} ${pid}`).join(', ')}`,
    );
    await endAll(left);
  }
  /** @type {Map<string, Noted>} */
  const noted = new Map();
  /** @type {readonly Told[]} */
  let told = [];
  const write = () => {
    const pids = { processes: [...noted.values()], programs: told };
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, `${JSON.stringify(pids, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(draft, file);
  };
  /** @type {DataFolder} */
  const folder = {
    path,
    inside: (...parts) => join(path, ...parts),
    tell: (programs) => {
      told = programs;
      write();
    },
    note: (name, pid, url) => {
      const facts = pid === undefined ? undefined : factsOf(pid);
      if (pid === undefined || facts === undefined) noted.delete(name);
      else noted.set(name, { name, pid, born: facts.born, ...(url === undefined ? {} : { url }) });
      write();
    },
    close: () => rmSync(file, { force: true }),
  };
  try {
    folder.note('start', process.pid);
  } catch (error) {
    throw new Refusal(
      `the data folder ${path} cannot be written (${reasonOf(error)}): choose another one with --data-dir`,
    );
  }
  return folder;
}

/**
 * The programs of the start that uses a data folder.
 * @param {string} path
 * @returns {readonly Told[] | undefined} undefined: no start uses it; empty: it has started no program yet
 */
export function startedIn(path) {
  const { processes, programs } = readNoted(join(path, 'pids.json'));
  return processes.some((one) => one.name === 'start' && stillRuns(one)) ? programs : undefined;
}

/**
 * The processes of a data folder that run: the one of the start itself, unless it was killed, and those that it started.
 * @param {string} path
 * @returns {Noted[]}
 * @throws Refusal if another user wrote the list, which could then name any process, or if it cannot be looked at
 */
export function runningIn(path) {
  const file = join(path, 'pids.json');
  const owner = ownerOf(file);
  if (owner !== undefined && process.getuid !== undefined && owner !== process.getuid())
    throw new Refusal(`the start in ${path} belongs to another user (uid ${owner}): run this command as that user`);
  return readNoted(file).processes.filter(stillRuns);
}

/** @param {string} file @returns {number | undefined} id of its user; undefined: there is no such file */
function ownerOf(file) {
  try {
    return statSync(file, { throwIfNoEntry: false })?.uid;
  } catch (error) {
    throw new Refusal(`${file} cannot be read (${reasonOf(error)})`);
  }
}

/** @param {string} file @returns {{ processes: Noted[], programs: Told[] }} */
function readNoted(file) {
  try {
    const { processes = [], programs = [] } = JSON.parse(readFileSync(file, 'utf8'));
    return { processes, programs };
  } catch {
    // a truncated file names no process; the guard has ended them
    return { processes: [], programs: [] };
  }
}

/** Programs before the Redis that they need. @param {readonly Noted[]} left */
export async function endAll(left) {
  for (const isRedis of [false, true]) {
    const group = left.filter(({ name }) => name.endsWith('redis') === isRedis);
    for (const { pid } of group) signalQuietly(pid, 'SIGTERM');
    for (let tries = 0; tries < 30 && group.some(stillRuns); tries += 1) await after(100);
    for (const one of group) if (stillRuns(one)) signalQuietly(-one.pid, 'SIGKILL');
    for (let tries = 0; tries < 20 && group.some(stillRuns); tries += 1) await after(50);
  }
}
