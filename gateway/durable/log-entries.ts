import { decodeFrames, type Frame } from '#contract/frame';
import { LogEnd, Seam } from './record.ts';

/** One entry of a log. */
export interface LogEntry {
  readonly id: string;
  readonly frames: readonly Frame[];
  /** JSON of a seam or of the end */
  readonly note: string | undefined;
  /** id of the entry before a seam or the end, in an entry that was followed */
  readonly after?: string;
}

/** An entry of a log as Redis gives it. */
export function decodedEntry(id: string, fields: readonly Buffer[]): LogEntry {
  const [name, value = Buffer.alloc(0), , after] = fields;
  const isFrames = name?.toString('latin1') === 'b';
  const before = after === undefined ? {} : { after: after.toString('latin1') };
  return { id, frames: isFrames ? decodeFrames(value) : [], note: isFrames ? undefined : value.toString(), ...before };
}

/** Whether an entry of a stream is after another one. Both are ids. */
export function isAfter(id: string, last: string): boolean {
  const [life = 0, n = 0] = id.split('-').map(Number);
  const [lastLife = 0, lastN = 0] = last.split('-').map(Number);
  return life > lastLife || (life === lastLife && n > lastN);
}

/** @returns what a note of a log says; undefined for the entry that opens the log */
export function readNote(text: string): Seam | LogEnd | undefined {
  const note: unknown = JSON.parse(text);
  return Seam.safeParse(note).data ?? LogEnd.safeParse(note).data;
}

/** Whether the entry says how an epoch follows the one before. @param kind only of this kind */
export function isSeam({ note }: LogEntry, kind?: Seam['kind']): boolean {
  const read = note === undefined ? undefined : readNote(note);
  return read !== undefined && 'kind' in read && (kind === undefined || read.kind === kind);
}

/** The entries that count: those before the last new beginning were shown to no reader. */
export function counted(entries: readonly LogEntry[]): readonly LogEntry[] {
  return entries.slice(
    Math.max(
      0,
      entries.findLastIndex((entry) => isSeam(entry, 'restart')),
    ),
  );
}
