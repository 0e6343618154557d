// @ts-check
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { readLogLine } from './log-text.mjs';

/** A longer line is handed on in pieces. */
const LONGEST_LINE = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Of the programs; what Redis logs has another form. */
const PROGRAM_LOG = /^(gateway|worker-launcher)(-\d+)?\.log$/;

/**
 * The logs of the programs that a start writes.
 * @param {string} folder its data folder
 * @returns {string[]} paths, empty if there are none
 */
export function logsIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => PROGRAM_LOG.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** The lines of pieces of text. */
export class Lines {
  #part = '';

  /** @param {string} text @returns {string[]} those that are complete */
  add(text) {
    const lines = (this.#part + text).split('\n');
    this.#part = lines.pop() ?? '';
    if (this.#part.length > LONGEST_LINE) {
      lines.push(this.#part);
      this.#part = '';
    }
    return lines;
  }

  /** What had no line end. @returns {string[]} */
  end() {
    const last = this.#part;
    this.#part = '';
    return last === '' ? [] : [last];
  }
}

/** A file that grows, is emptied or is replaced. */
export class GrowingFile {
  #offset = 0;
  #inode = 0;
  #decoder = new StringDecoder('utf8');
  #lines = new Lines();

  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  /** @param {number} inode */
  #startAgain(inode) {
    this.#inode = inode;
    this.#offset = 0;
    this.#decoder = new StringDecoder('utf8');
    this.#lines = new Lines();
  }

  /**
   * The complete lines that were not read yet.
   * @param {boolean} isLast also what has no line end
   * @returns {Generator<string>}
   * @throws Error of Node if it cannot be read
   */
  *more(isLast) {
    if (!existsSync(this.path)) return;
    const file = openSync(this.path, 'r');
    try {
      const { size, ino } = fstatSync(file);
      if (ino !== this.#inode || size < this.#offset) this.#startAgain(ino);
      const chunk = Buffer.alloc(CHUNK_BYTES);
      for (;;) {
        const count = readSync(file, chunk, 0, CHUNK_BYTES, this.#offset);
        if (count === 0) break;
        this.#offset += count;
        yield* this.#lines.add(this.#decoder.write(chunk.subarray(0, count)));
      }
      if (isLast) yield* this.#lines.end();
    } finally {
      closeSync(file);
    }
  }
}

/**
 * The lines of several files in the order of their times. A line without a time follows the one above it.
 * @param {readonly Iterator<string>[]} files each with rising times
 * @returns {Generator<string>}
 */
export function* inOrderOfTime(files) {
  const heads = files.map((lines) => ({ lines, time: '', text: '' })).filter(advance);
  for (;;) {
    const [first] = heads.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
    if (first === undefined) return;
    yield first.text;
    if (!advance(first)) heads.splice(heads.indexOf(first), 1);
  }
}

/** @param {{ lines: Iterator<string>, time: string, text: string }} head @returns {boolean} whether there was another line */
function advance(head) {
  const { value, done } = head.lines.next();
  if (done === true) return false;
  head.text = value;
  head.time = String(readLogLine(value)?.['time'] ?? head.time);
  return true;
}

/** Whether something is piped or redirected into this process. */
export function hasInput() {
  try {
    const input = fstatSync(0);
    return input.isFIFO() || input.isSocket() || input.isFile();
  } catch {
    return false;
  }
}

/** @param {string} path */
export function isReadableFile(path) {
  return existsSync(path) && !statSync(path).isDirectory();
}
