import { constants, fstatSync, openSync, writeSync } from 'node:fs';

const STDOUT = 1;
const LINE_FEED = 0x0a;
/** Limit for the lines that wait for a slow reader; further lines are dropped. */
const MOST_WAITING_BYTES = 1_048_576;
/** How often a write to a slow reader is tried, in milliseconds. */
const TRY_EVERY_MS = 50;
/** Several processes may write to one pipe. It keeps a write of at most this size in one piece (source: pipe(7), PIPE_BUF). */
const MOST_AT_ONCE_BYTES = 4_096;
/** How often an ending process tries to write its last lines, every 10 ms. */
const LAST_TRIES = 20;

let descriptor: number | undefined;
const waiting: Buffer[] = [];
let waitingBytes = 0;
let isPlanned = false;
let dropped = 0;

/** How many lines were not written, or only in part: the disk under the log is full, or its reader is gone or hangs. */
export function droppedLogLines(): number {
  return dropped;
}

/**
 * Writes a line to standard output without waiting for its reader: a blocked log loses lines, not requests. The lines of
 * one turn of the event loop share a write.
 */
export function writeLine(line: string): void {
  const bytes = Buffer.from(line);
  if (waitingBytes + bytes.length > MOST_WAITING_BYTES) {
    dropped += 1;
    return;
  }
  if (waiting.length === 0 && descriptor === undefined) {
    descriptor = withoutWaiting();
    process.on('exit', writeLast);
  }
  waiting.push(bytes);
  waitingBytes += bytes.length;
  if (isPlanned) return;
  isPlanned = true;
  setImmediate(writeWaiting).unref();
}

function writeWaiting(): void {
  isPlanned = false;
  while (descriptor !== undefined && waiting.length > 0) {
    const lines = takeLines();
    try {
      const written = writeSync(descriptor, lines);
      if (written < lines.length) waiting.unshift(lines.subarray(written));
      waitingBytes -= written;
    } catch (error) {
      if (isBehind(error)) {
        waiting.unshift(lines);
        return writeLater();
      }
      dropped += lines.filter((byte) => byte === LINE_FEED).length;
      waitingBytes -= lines.length;
    }
  }
}

/** As many lines as one write keeps in one piece; at least one. */
function takeLines(): Buffer {
  let count = 0;
  let bytes = 0;
  for (const line of waiting) {
    if (count > 0 && bytes + line.length > MOST_AT_ONCE_BYTES) break;
    bytes += line.length;
    count += 1;
  }
  return Buffer.concat(waiting.splice(0, count), bytes);
}

function writeLater(): void {
  isPlanned = true;
  setTimeout(writeWaiting, TRY_EVERY_MS).unref();
}

function writeLast(): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; waiting.length > 0 && tries < LAST_TRIES; tries += 1) {
    writeWaiting();
    if (waiting.length > 0) Atomics.wait(pause, 0, 0, 10);
  }
}

/**
 * Standard output, opened so that a write fails when it would block. It is opened again if possible, because all
 * processes that inherited the same pipe share the flag. Source: open(2) on /proc/self/fd, pipe(7).
 */
function withoutWaiting(): number {
  try {
    if (fstatSync(STDOUT).isFile()) return STDOUT;
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // This is a socket, another user's pipe, or a system without /proc: Node sets the flag when it makes its stream.
    return process.stdout.fd;
  }
}

function isBehind(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EAGAIN';
}
