import { constants, fstatSync, openSync } from 'node:fs';
import { LineOutput } from './line-output.ts';

const STDOUT = 1;
let descriptor: number | undefined;
const output = new LineOutput({ descriptor: () => (descriptor ??= withoutWaiting()) });

/** How many lines were not written, or only in part: the disk under the log is full, or its reader is gone or hangs. */
export function droppedLogLines(): number {
  return output.dropped;
}

/** Writes a line to standard output without waiting for its reader. @param line with its line feed */
export function writeLine(line: string): void {
  output.write(line);
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
