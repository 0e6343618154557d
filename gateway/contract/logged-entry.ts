import { entryId } from './answer-log.ts';
import { decodeFrames, type Frame } from './frame.ts';
import type { Token } from './job.ts';

/** Random part of the life u16, number of the entry u32, both big endian. */
const PLACE_BYTES = 6;

/** An entry of the log of a durable answer, as its dispatcher made it. */
export interface WrittenEntry {
  /** what the log has */
  readonly frames: Buffer;
  /** payload of the frame `logged`, which has the same bytes */
  readonly payload: Buffer;
}

/** @param random part of the attempt's life @param n number of the entry @param frames encoded, with empty request ids */
export function writtenEntry(
  { random }: { readonly random: number },
  n: number,
  frames: readonly Buffer[],
): WrittenEntry {
  const place = Buffer.allocUnsafe(PLACE_BYTES);
  place.writeUInt16BE(random, 0);
  place.writeUInt32BE(n, 2);
  const payload = Buffer.concat([place, ...frames]);
  return { frames: payload.subarray(PLACE_BYTES), payload };
}

/** @param frame of the type `logged` @returns id and frames of the log's entry @throws Error for one that cannot be read */
export function loggedEntry({ epoch, attempt, payload }: Token & Pick<Frame, 'payload'>): {
  readonly id: string;
  readonly frames: readonly Frame[];
} {
  const random = payload.readUInt16BE(0);
  const id = entryId({ epoch, attempt, random }, payload.readUInt32BE(2));
  return { id, frames: decodeFrames(payload.subarray(PLACE_BYTES)) };
}
