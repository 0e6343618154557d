import { pino } from 'pino';

/** What the parts of a process log with: JSON lines, one event each. Prompts and keys never reach it. */
export interface Log {
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
}
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** @param program name of the process in every line */
export function createLog(program: string, level: (typeof LOG_LEVELS)[number]): Log {
  return pino({
    level,
    base: { program, pid: process.pid },
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { cause: describeCause },
  });
}

/**
 * What a log line says of an error. ioredis hangs the refused command on its errors, and with it what was to be written: bodies of
 * requests, and the password of a login.
 */
export function describeCause(cause: unknown): unknown {
  return cause instanceof Error ? withoutCommand(pino.stdSerializers.errWithCause(cause)) : cause;
}

function withoutCommand(described: object): object {
  return Object.fromEntries(
    Object.entries(described)
      .filter(([name]) => name !== 'command')
      .map(([name, value]: [string, unknown]) => [
        name,
        name === 'cause' && typeof value === 'object' && value !== null ? withoutCommand(value) : value,
      ]),
  );
}
