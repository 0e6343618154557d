import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { EngineCommand } from './command.ts';

/** A failed start ends with one stack trace per process. */
const KEPT_LINES = 200;
const LINE_LIMIT_CHARACTERS = 2_000;
const OUTPUT_WAIT_MS = 200;

export interface EngineProcess {
  /** also the id of its session and process group; undefined if it could not be spawned */
  readonly pid: number | undefined;
  /** resolves when the leading process has ended; `how` is for people */
  readonly exited: Promise<{ readonly code: number | null; readonly how: string }>;
  /** @returns the last lines of its output, oldest first; call it after the exit */
  output(): Promise<readonly string[]>;
}

/**
 * Spawns an engine in its own session and process group.
 * @param onLine takes each line of its output, secrets masked
 */
export function startProcess(command: EngineCommand, onLine: (line: string) => void): EngineProcess {
  const child = spawn(command.file, command.argv, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...command.env },
  });
  const mask = createMask(command.env);
  const kept: string[] = [];
  const closed = [child.stdout, child.stderr].map((stream) =>
    eachLine(stream, (raw) => {
      const line = mask(raw.slice(0, LINE_LIMIT_CHARACTERS));
      kept.push(line);
      if (kept.length > KEPT_LINES) kept.shift();
      onLine(line);
    }),
  );
  const exited = new Promise<{ code: number | null; how: string }>((resolve) => {
    child.once('error', (error) => resolve({ code: null, how: `could not be started: ${error.message}` }));
    child.once('exit', (code, signal) =>
      resolve({ code, how: signal === null ? `ended with exit code ${code}` : `was ended by ${signal}` }),
    );
  });
  const output = async (): Promise<readonly string[]> => {
    // A process that left the group may hold the pipes open.
    await Promise.race([Promise.all(closed), new Promise((resolve) => setTimeout(resolve, OUTPUT_WAIT_MS).unref())]);
    return kept;
  };
  return { pid: child.pid, exited, output };
}

function eachLine(stream: Readable, take: (line: string) => void): Promise<void> {
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  lines.on('line', take);
  stream.on('error', () => {});
  return new Promise((resolve) => lines.once('close', resolve));
}

const FLAG_SECRET = /(--(?:api-key|hf-token)[= ]\s*)(?:(?!--)\S+(?:\s+|$))+/gi;
const NAMED_SECRET =
  /((?:api[-_]?keys?|token|password|secret|authorization)["']?\s*[=:]\s*)(\[[^\]]*\]|"[^"]*"|'[^']*'|(?:Bearer\s+)?[^\s,;]+)/gi;
const URL_PASSWORD = /(:\/\/[^\s:/@]*:)[^\s@/]+@/g;

/** Masks values after names such as `api-key`, passwords in URLs, and the values of the engine's own secret variables. */
export function createMask(env: Readonly<Record<string, string>>): (line: string) => string {
  const values = Object.entries(env)
    .filter(([name, value]) => /KEY|TOKEN|SECRET|PASSWORD|HEADERS/.test(name) && value.length >= 6)
    .map(([, value]) => value);
  return (line) => {
    let masked = line;
    for (const value of values) masked = masked.replaceAll(value, '***');
    return masked.replace(FLAG_SECRET, '$1*** ').replace(NAMED_SECRET, '$1***').replace(URL_PASSWORD, '$1***@');
  };
}
