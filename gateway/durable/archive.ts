import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

/** Limit of an unpacked log, in bytes: far above what one answer may have. */
const MOST_BYTES = 256 * 1024 * 1024;

/** An entry as Redis gives it: its id, and the name and value of its one field. */
export type RawEntry = readonly [id: Buffer, name: Buffer, value: Buffer];

/** Packs a log. Events of one answer differ little, so it becomes about fifty times smaller. Not on the event loop. */
export async function pack(entries: readonly RawEntry[]): Promise<Buffer> {
  const parts = entries.flat().flatMap((part) => {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  return promisify(gzip)(Buffer.concat(parts));
}

/** @throws Error for bytes that are no packed log */
export async function unpack(packed: Buffer): Promise<RawEntry[]> {
  const bytes = await promisify(gunzip)(packed, { maxOutputLength: MOST_BYTES });
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    parts.push(bytes.subarray(at + 4, end));
    at = end;
  }
  const entries: RawEntry[] = [];
  for (let at = 0; at + 2 < parts.length; at += 3) {
    const [id, name, value] = parts.slice(at, at + 3);
    if (id !== undefined && name !== undefined && value !== undefined) entries.push([id, name, value]);
  }
  return entries;
}
