import { constants, fstatSync, openSync, writeSync } from 'node:fs';

const STDOUT = 1;
/** Limit for the lines that wait for a slow reader; further lines are dropped. */
const MOST_WAITING_BYTES = 1_048_576;
/** How often a write to a slow reader is tried, in milliseconds. */
const TRY_EVERY_MS = 50;
/** How often an ending process tries to write its last lines, every 10 ms. */
const LAST_TRIES = 20;

let descriptor: number | undefined;
const waiting: Buffer[] = [];
let waitingBytes = 0;
let timer: NodeJS.Timeout | undefined;
let dropped = 0;

/** How many lines were not written, or only in part: the disk under the log is full, or its reader is gone or hangs. */
export function droppedLogLines(): number {
  return dropped;
}

/** Writes a line to standard output without waiting for its reader: a blocked log loses lines, not requests. */
export function writeLine(line: string): void {
  const bytes = Buffer.from(line);
  if (waitingBytes + bytes.length > MOST_WAITING_BYTES) {
    dropped += 1;
    return;
  }
  waiting.push(bytes);
  waitingBytes += bytes.length;
  if (timer === undefined) writeWaiting();
}

function writeWaiting(): void {
  timer = undefined;
  if (descriptor === undefined) {
    descriptor = withoutWaiting();
    process.on('exit', writeLast);
  }
  for (let line = waiting[0]; line !== undefined; line = waiting[0]) {
    try {
      const written = writeSync(descriptor, line);
      waitingBytes -= written;
      if (written < line.length) waiting[0] = line.subarray(written);
      else waiting.shift();
    } catch (error) {
      if (isBehind(error)) {
        timer = setTimeout(writeWaiting, TRY_EVERY_MS).unref();
        return;
      }
      dropped += 1;
      waitingBytes -= line.length;
      waiting.shift();
    }
  }
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
