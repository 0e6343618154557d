import { constants, fstatSync, openSync, writeSync } from 'node:fs';

const STDOUT = 1;
/** Of lines whose reader is behind; what comes above it is dropped. */
const MOST_WAITING_BYTES = 1_048_576;
/** How often a reader that is behind is tried, in milliseconds. */
const TRY_EVERY_MS = 50;
/** What an ending process gives its reader for the last lines, in tries of 10 ms. */
const LAST_TRIES = 20;

let descriptor: number | undefined;
const waiting: Buffer[] = [];
let waitingBytes = 0;
let timer: NodeJS.Timeout | undefined;
let dropped = 0;

/** Lines that could not be written, whole or in part: the disk under the log is full, or its reader is gone or stands still. */
export function droppedLogLines(): number {
  return dropped;
}

/** Writes a line to standard output and never waits for its reader: a log that cannot be written costs its lines, not the service. */
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
 * Standard output, such that a write to it fails where it would wait. Opened anew where that can be: the flag is shared with all
 * processes that inherited the same pipe. Source: open(2) on /proc/self/fd, pipe(7).
 */
function withoutWaiting(): number {
  try {
    if (fstatSync(STDOUT).isFile()) return STDOUT;
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // A socket, another user's pipe, or a system without /proc: Node sets the flag when it makes its stream.
    return process.stdout.fd;
  }
}

function isBehind(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EAGAIN';
}
