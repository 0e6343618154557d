import { z } from 'zod';
import { SpanPlace } from './trace.ts';

/**
 * What a dispatcher writes back to the replica that holds the client. One stream entry carries all frames of one run of
 * the event loop: field `s` is `<dispatcher incarnation>:<sequence>`, field `b` is the frames end to end.
 * One frame: type u8, length of request id u8, epoch u16, attempt u16, payload length u32 (big endian), id, payload.
 */
const FRAME_TYPES = ['claimed', 'head', 'data', 'end', 'error', 'heartbeat', 'logged'] as const;
export type FrameType = (typeof FRAME_TYPES)[number];

export interface Frame {
  readonly type: FrameType;
  /** empty in a heartbeat, which concerns the whole dispatcher */
  readonly requestId: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly payload: Buffer;
}

/** Who wrote an entry, and its number among that dispatcher's entries to this replica. */
export interface Stamp {
  readonly dispatcher: string;
  readonly sequence: number;
}

/** Field `s` of an entry. */
export function encodeStamp({ dispatcher, sequence }: Stamp): string {
  return `${dispatcher}:${sequence}`;
}

/** @returns undefined for the first entry, which opens the stream; a sequence of NaN for one that cannot be read */
export function decodeStamp(text: string): Stamp | undefined {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return undefined;
  const sequence = Number(text.slice(colon + 1));
  return { dispatcher: text.slice(0, colon), sequence: Number.isSafeInteger(sequence) ? sequence : NaN };
}

/** The Redis time at which an entry was written, in ms. @param streamId `<ms>-<number within it>`; NaN for an empty one */
export function entryMs(streamId: string): number {
  return Number.parseInt(streamId, 10);
}

const HEADER_BYTES = 10;
const NUMBER_OF = new Map(FRAME_TYPES.map((type, number) => [type, number]));

/** Bytes of a frame in an entry. */
export function frameBytes({ requestId, payload }: Frame): number {
  return HEADER_BYTES + requestId.length + payload.length;
}

/** Copies a frame into an entry. @param at where it begins @returns where it ends */
export function writeFrame(frame: Frame, entry: Buffer, at: number): number {
  const { requestId, payload } = frame;
  const payloadAt = at + HEADER_BYTES + requestId.length;
  entry.writeUInt8(NUMBER_OF.get(frame.type) ?? 0, at);
  entry.writeUInt8(requestId.length, at + 1);
  entry.writeUInt16BE(frame.epoch, at + 2);
  entry.writeUInt16BE(frame.attempt, at + 4);
  entry.writeUInt32BE(payload.length, at + 6);
  entry.write(requestId, at + HEADER_BYTES, 'latin1');
  entry.set(payload, payloadAt);
  return payloadAt + payload.length;
}

/**
 * Splits an entry's bytes into frames; payloads are views of `bytes`. Frame types that only newer dispatchers know are
 * ignored.
 * @throws Error when the bytes end inside a frame
 */
export function decodeFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + HEADER_BYTES > bytes.length) throw new Error('reply entry ends inside a frame header');
    const type = FRAME_TYPES[bytes.readUInt8(at)];
    const idEnd = at + HEADER_BYTES + bytes.readUInt8(at + 1);
    const end = idEnd + bytes.readUInt32BE(at + 6);
    if (end > bytes.length) throw new Error('reply entry ends inside a frame');
    if (type !== undefined)
      frames.push({
        type,
        requestId: bytes.toString('latin1', at + HEADER_BYTES, idEnd),
        epoch: bytes.readUInt16BE(at + 2),
        attempt: bytes.readUInt16BE(at + 4),
        payload: bytes.subarray(idEnd, end),
      });
    at = end;
  }
  return frames;
}

/**
 * Payload of `claimed`. `engine`: a name of this life of the engine, so that its death counts once; of an older dispatcher, of
 * all its lives. `waits`: the pickup is a repeat and starts only after `go`. `span`: the `traceparent` of the attempt, if it
 * is traced.
 */
export const Claimed = z.object({ engine: z.string(), waits: z.boolean(), span: SpanPlace.exactOptional() });
export type Claimed = Readonly<z.infer<typeof Claimed>>;
/** Payload of `head`: the engine's status and content type. */
export const Head = z.object({ status: z.int(), contentType: z.string() });
export type Head = Readonly<z.infer<typeof Head>>;
/**
 * Payload of `error`: why an attempt ended without the engine's own answer. `expired`: the deadline passed.
 * `body_lost`: no body exists under its key. `oversized`: a durable answer is longer than its log may be. `worker_lost`:
 * the engine ended, or a reason that only newer programs know.
 */
export const AttemptError = z.object({
  reason: z.enum(['expired', 'body_lost', 'oversized', 'worker_lost']).catch('worker_lost'),
  message: z.string(),
  /** the engine had the request when its connection broke; older dispatchers do not send it */
  died: z.boolean().exactOptional(),
});
export type AttemptError = Readonly<z.infer<typeof AttemptError>>;

/** @throws Error if the payload does not fit this type of frame */
export function parsePayload<T>(schema: z.ZodType<T>, payload: Buffer): T {
  return schema.parse(JSON.parse(payload.toString('utf8')));
}
