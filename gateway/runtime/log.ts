import { types } from 'node:util';
import { pino, type LoggerOptions } from 'pino';
import { z } from 'zod';
import { writeLine } from './log-output.ts';

export { droppedLogLines } from './log-output.ts';

/** The interface by which all parts of a process log: JSON lines, one event each. Prompts and keys never reach it. */
export interface Log {
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
}
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** Limit for an error's message, and for a cause that is a string, in characters. */
const LONGEST_MESSAGE = 300;
const MOST_FRAMES = 10;
const LONGEST_FRAME = 200;
const FRAME = /(?<=^ {4})at .*(?::\d+|<anonymous>|native)\)?$/gm;
/** How many nested causes are logged. */
const DEEPEST_CAUSE = 4;
// oxlint-disable-next-line no-control-regex -- these are the characters to find
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g;

/** Unreadable fields count as absent. */
const Cause = z.object({
  name: z.string().optional().catch(undefined),
  code: z.union([z.string(), z.number()]).optional().catch(undefined),
  message: z.string().optional().catch(undefined),
  stack: z.string().optional().catch(undefined),
  cause: z.unknown().optional(),
});

/** Turns what libraries print, such as BullMQ's warnings, into log lines, so that the output has nothing else. */
export function captureConsole(log: Log): void {
  const told = (...words: unknown[]): void =>
    log.debug({ text: short(words.map(String).join(' '), LONGEST_MESSAGE) }, 'a library printed this');
  Object.assign(console, { log: told, info: told, warn: told, error: told });
}

/** @param program name of the process in every line */
export function createLog(program: string, level: (typeof LOG_LEVELS)[number]): Log {
  const options = {
    level,
    base: { program, pid: process.pid },
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: withCausesDescribed },
  } satisfies LoggerOptions;
  return pino(options, { write: writeLine });
}

/** Describes errors under any field name. */
function withCausesDescribed(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      name === 'cause' || isError(value) ? describeCause(value) : value,
    ]),
  );
}

/**
 * The part of an error that a log line holds: name, code, message, stack and cause, each cut short. Everything else is
 * left out, because libraries attach their data to errors. ioredis attaches the refused command with bodies and
 * passwords, HTTP parsers the peer's bytes, TLS the peer's certificate.
 */
export function describeCause(cause: unknown): unknown {
  return describe(cause, DEEPEST_CAUSE);
}

function describe(cause: unknown, depth: number): unknown {
  if (typeof cause === 'string') return short(cause, LONGEST_MESSAGE);
  if (typeof cause !== 'object' || cause === null) return typeof cause === 'function' ? undefined : cause;
  const parsed = Cause.safeParse(cause);
  if (!parsed.success || depth === 0) return undefined;
  const { name, code, message, stack, cause: inner } = parsed.data;
  return {
    name: name === undefined ? undefined : short(name, 80),
    code: typeof code === 'string' ? short(code, 80) : code,
    message: message === undefined ? undefined : short(message, LONGEST_MESSAGE),
    stack: stack === undefined ? undefined : framesOf(stack, message ?? ''),
    cause: inner === undefined ? undefined : describe(inner, depth - 1),
  };
}

/** Only the code positions: before them the stack repeats the message, of any length and number of lines. */
function framesOf(stack: string, message: string): string {
  const frames = stack.slice(stack.indexOf(message) + message.length).match(FRAME) ?? [];
  return frames
    .slice(0, MOST_FRAMES)
    .map((frame) => short(frame, LONGEST_FRAME))
    .join('\n');
}

/** In one printable line of at most this many characters. */
export function short(text: string, most: number): string {
  // Cut first, because the text may have any length.
  const cut = text.length <= most ? text : `${text.slice(0, most)}…`;
  return cut.replaceAll(UNPRINTABLE, ' ');
}

/** Works across realms too, where `instanceof` fails. A DOMException is no native error. */
function isError(value: unknown): boolean {
  return types.isNativeError(value) || value instanceof Error;
}
