import { constants, closeSync, openSync, statSync, type Stats } from 'node:fs';
import { userInfo } from 'node:os';
import { LineOutput, MOST_AT_ONCE_BYTES } from './line-output.ts';
import { droppedLogLines, writeLine } from './log-output.ts';
import { short, type Log } from './log.ts';

/** Every administrative act that has a line. */
export const ACTS = [
  'settings.read',
  'card.read',
  'card.reloaded',
  'key_file.read',
  'identity_file.read',
  'key.created',
  'key.changed',
  'key.revoked',
  'answer.cancelled',
  'answer.deleted',
  'webhook.redelivered',
  'request.quarantined',
  'engine.condemned',
  'engine.restored',
] as const;

/** Who did something, as far as the program knows it. */
export interface Who {
  /**
   * `user`: of the operating system; `operator`: gave this name on an internal port; `key`: id of a key; `file`: the owner of
   * a file that was changed; `program`: no person
   */
  readonly kind: 'user' | 'operator' | 'key' | 'file' | 'program';
  readonly name: string;
  /** address that it came from */
  readonly from?: string | undefined;
}

export interface Act {
  readonly act: (typeof ACTS)[number];
  /** what it was done to: an id, a name or a path */
  readonly what: string;
  readonly who: Who;
  /** `refused`: not allowed or not possible; `failed`: it may be done in part */
  readonly result: 'done' | 'refused' | 'failed';
  /** why it was not done, in one sentence or code; never a word of a caller */
  readonly why?: string | undefined;
  /** names of what changed, never values */
  readonly fields?: readonly string[] | undefined;
  readonly version?: string;
  readonly sha256?: string | undefined;
}

/** Of one request, never a word of its content. */
export type RequestFacts = Readonly<Record<string, unknown>>;

/** Where the lines go. */
export interface AuditOutput {
  readonly write: (line: string) => void;
  /** how many were not written */
  readonly lost: () => number;
}

/** The place that stands for standard output. */
const STANDARD_OUTPUT = '-';
/** Limit of the characters of a name, path, sentence or address in a line. */
const LONGEST_TEXT = 256;
/** The same in a line that would be too long. */
const SHORT_TEXT = 60;
/** Limit of the names in `fields`, and of their characters. */
const MOST_FIELDS = 40;
const LONGEST_FIELD = 48;
/** How often the file is looked for again, in ms: it may have been moved away, as log rotation does. */
const LOOK_EVERY_MS = 1_000;
/** How often the log reports lost lines, in ms. */
const TELL_EVERY_MS = 60_000;

/**
 * The record of administrative acts: one JSON line each, which is only ever appended. A line that cannot be written is
 * counted and logged; it stops no request.
 */
export class Audit {
  readonly #program: string;
  readonly #output: AuditOutput;
  readonly #requests: boolean;

  /** @param requests they have lines too */
  constructor(program: string, output: AuditOutput, requests: boolean) {
    this.#program = program;
    this.#output = output;
    this.#requests = requests;
  }

  /** lines that were not written */
  get lost(): number {
    return this.#output.lost();
  }

  record(act: Act): void {
    const line = this.#lineOf(lineFields(act, LONGEST_TEXT));
    // A longer one could be mixed with those of other programs. Only names in other scripts than Latin are so long.
    const isLong = Buffer.byteLength(line) > MOST_AT_ONCE_BYTES;
    this.#output.write(
      isLong ? this.#lineOf({ ...lineFields({ ...act, fields: undefined }, SHORT_TEXT), cut: true }) : line,
    );
  }

  /** One line for a request that is over, if that is wanted. */
  request(facts: RequestFacts): void {
    if (this.#requests) this.#output.write(this.#lineOf({ act: 'request', ...facts }));
  }

  #lineOf(fields: object): string {
    const first = { audit: 1, time: new Date().toISOString(), program: this.#program, pid: process.pid };
    return `${JSON.stringify({ ...first, ...fields })}\n`;
  }
}

function lineFields(act: Act, most: number): object {
  const { what, who, why, fields } = act;
  const cut = (text: string | undefined): string | undefined => (text === undefined ? undefined : short(text, most));
  return {
    ...act,
    what: cut(what),
    who: { ...who, name: cut(who.name), from: cut(who.from) },
    why: cut(why),
    fields: fields?.slice(0, MOST_FIELDS).map((field) => short(field, LONGEST_FIELD)),
  };
}

/**
 * @param place path of a file that is only appended to, `-` for standard output, absent for none
 * @throws Error in one sentence if the file cannot be written
 */
export function createAudit(
  program: string,
  {
    place,
    setting,
    requests = false,
    log,
  }: { place?: string | undefined; setting: string; requests?: boolean; log: Pick<Log, 'error'> },
): Audit {
  if (place === undefined) return new Audit(program, { write: () => {}, lost: () => 0 }, false);
  if (place === STANDARD_OUTPUT) return new Audit(program, { write: writeLine, lost: droppedLogLines }, requests);
  const file = new AppendedFile(place);
  try {
    file.descriptor();
  } catch (cause) {
    const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unwritable';
    throw new Error(`bad configuration\n  ${setting}: ${place} cannot be written (${code})`, { cause });
  }
  let toldAt = -Infinity;
  const output = new LineOutput({
    descriptor: () => file.descriptor(),
    onLost: (cause) => {
      if (performance.now() - toldAt < TELL_EVERY_MS) return;
      toldAt = performance.now();
      log.error({ file: place, lost: output.dropped, cause }, 'lines of the audit file are lost');
    },
  });
  return new Audit(program, { write: (line) => output.write(line), lost: () => output.dropped }, requests);
}

/** A file that is only ever appended to. It is made again if it was moved away or removed. */
class AppendedFile {
  readonly #path: string;
  #open: { readonly descriptor: number; readonly of: Pick<Stats, 'dev' | 'ino'> } | undefined;
  #lookedAt = -Infinity;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws the error of the file system */
  descriptor(): number {
    const now = performance.now();
    if (this.#open !== undefined && now - this.#lookedAt < LOOK_EVERY_MS) return this.#open.descriptor;
    this.#lookedAt = now;
    const there = statSync(this.#path, { throwIfNoEntry: false });
    if (this.#open !== undefined && there?.ino === this.#open.of.ino && there.dev === this.#open.of.dev)
      return this.#open.descriptor;
    if (this.#open !== undefined) closeSync(this.#open.descriptor);
    this.#open = undefined;
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK } = constants;
    // Without waiting, because a pipe without a reader would stop the program.
    const descriptor = openSync(this.#path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0o600);
    this.#open = { descriptor, of: statSync(this.#path) };
    return descriptor;
  }
}

/** The operating system's user of this process. */
export function thisUser(): Who {
  return { kind: 'user', name: nameOfUser() };
}

function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user often has no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
