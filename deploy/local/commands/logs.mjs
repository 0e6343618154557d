// @ts-check
import { resolve } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { FLAG, HELP_FLAG, readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal, reasonOf } from '../setup/refusal.mjs';
import { folderNamed } from '../up/options.mjs';
import { GrowingFile, hasInput, inOrderOfTime, isReadableFile, Lines, logsIn } from './log-files.mjs';
import { isWanted, logText, prefixOf, rankOf, readLogLine } from './log-text.mjs';
import { printable } from './printable.mjs';
import { readerGone } from './reader-gone.mjs';

const LOGS_HELP = `penstock logs: the log lines of gateways and worker-launchers for people

  penstock logs [options] [FILE...]
  kubectl logs --prefix -l app.kubernetes.io/name=penstock | penstock logs

  FILE               a log of a program; - is standard input. Without one: standard input if something is
                     piped into it, else the logs in the data folder, in the order of their times
  --data-dir DIR     data folder of penstock up                       (.penstock)
  --follow           go on with what is written later, until Ctrl-C
  --last N           of the lines that are there, only the last N
  --level LEVEL      only this level and those above: debug, info, warn or error
  --request ID       only lines about this request: requestId, or the header x-request-id
  --help             print this help

A line has time (UTC), level, program and words. A request is one line: status, method, path, outcome, key, model, and how
many ms each phase took. Other lines pass, without what controls a terminal. Exit code 0: printed; 2: no such log, or a wrong option.
`;

const OPTIONS = {
  'data-dir': TEXT,
  follow: { ...FLAG, short: 'f' },
  last: TEXT,
  level: TEXT,
  request: TEXT,
  help: HELP_FLAG,
};
const NOT_PRINTED = 2;
/** How often files are looked at with --follow. */
const LOOK_EVERY_MS = 200;
/** A closed reader is noticed after this many lines. */
const PAUSE_EVERY = 500;
const MOST_LAST = 1_000_000;

/**
 * @param {readonly string[]} args arguments after `logs`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function logsCommand(args, { cwd, print, say }) {
  try {
    const { values: asked, words } = readOptions('penstock logs', args, OPTIONS);
    if (asked.help === true) return print(LOGS_HELP.trimEnd());
    if (asked.level !== undefined && rankOf(asked.level) === -1)
      throw new Refusal(`--level takes debug, info, warn or error, not '${asked.level}'`);
    const output = new Output(asked, lastOf(asked.last), print);
    const isInput = words.includes('-') || (words.length === 0 && asked['data-dir'] === undefined && hasInput());
    if (isInput && words.length > 1) throw new Refusal('penstock logs takes files or standard input, not both');
    if (isInput) await fromInput(output, asked.follow === true);
    else await fromFiles(filesOf(words, asked['data-dir'], cwd), output, asked.follow === true);
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOT_PRINTED;
  }
}

/** Prints the wanted lines, or keeps the last ones. */
class Output {
  gone = readerGone();
  #filter;
  #last;
  #print;
  /** @type {string[]} */
  #kept = [];
  #lines = 0;

  /**
   * @param {{ level?: string, request?: string }} filter @param {number | undefined} last
   * @param {(line: string) => void} print
   */
  constructor(filter, last, print) {
    this.#filter = filter;
    this.#last = last;
    this.#print = print;
  }

  /** @param {string} text @returns {Promise<boolean>} false: the reader is gone */
  async add(text) {
    this.#lines += 1;
    if (this.#lines % PAUSE_EVERY === 0) await setImmediate();
    const line = readLogLine(text);
    if (!isWanted(line, this.#filter)) return !this.gone.aborted;
    const shown = line === undefined ? printable(text) : `${prefixOf(text)}${logText(line)}`;
    if (this.#last === undefined) this.#print(shown);
    else {
      this.#kept.push(shown);
      if (this.#kept.length > 2 * this.#last) this.#kept.splice(0, this.#kept.length - this.#last);
    }
    return !this.gone.aborted;
  }

  /** Prints what was kept; from now on each line is printed. */
  release() {
    for (const shown of this.#kept.slice(-(this.#last ?? 0))) this.#print(shown);
    this.#kept = [];
    this.#last = undefined;
  }
}

/** @param {Output} output @param {boolean} follow */
async function fromInput(output, follow) {
  const lines = new Lines();
  // What comes later cannot be distinguished from what is there.
  if (follow) output.release();
  process.stdin.setEncoding('utf8');
  for await (const text of process.stdin)
    for (const line of lines.add(String(text))) if (!(await output.add(line))) return;
  for (const line of lines.end()) await output.add(line);
  output.release();
}

/** @param {() => string[]} paths @param {Output} output @param {boolean} follow */
async function fromFiles(paths, output, follow) {
  /** @type {Map<string, GrowingFile>} */
  const files = new Map();
  for (let isFirst = true; ; isFirst = false) {
    for (const path of paths()) if (!files.has(path)) files.set(path, new GrowingFile(path));
    try {
      const iterators = [...files.values()].map((file) => file.more(!follow));
      for (const line of inOrderOfTime(iterators)) if (!(await output.add(line))) return;
    } catch (error) {
      throw new Refusal(`a log cannot be read: ${reasonOf(error)}`);
    }
    if (isFirst) output.release();
    if (!follow || output.gone.aborted) return;
    await setTimeout(LOOK_EVERY_MS, undefined, { signal: output.gone }).catch(() => {});
  }
}

/**
 * @param {readonly string[]} words @param {string | undefined} folder @param {string} cwd
 * @returns {() => string[]} the paths at the time of the call, because a start may add programs
 * @throws Refusal if there are none
 */
function filesOf(words, folder, cwd) {
  if (words.length > 0) {
    const named = words.map((word) => resolve(cwd, word));
    const missing = named.find((path) => !isReadableFile(path));
    if (missing !== undefined) throw new Refusal(`there is no log ${missing}`);
    return () => named;
  }
  const dataDir = folderNamed('--data-dir', folder ?? '.penstock', cwd);
  if (logsIn(dataDir).length === 0)
    throw new Refusal(`no penstock up has written a log in ${dataDir}: name a file, or another folder with --data-dir`);
  return () => logsIn(dataDir);
}

/** @param {string | undefined} text @returns {number | undefined} */
function lastOf(text) {
  if (text === undefined) return undefined;
  const last = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (last < 1 || last > MOST_LAST)
    throw new Refusal(`--last takes a whole number from 1 to ${MOST_LAST}, not '${text}'`);
  return last;
}
