import { frameBytes, writeFrame, type Frame } from '#contract/frame';

/** A frame as it is in an entry. */
export function encodeFrame(frame: Frame): Buffer {
  const bytes = Buffer.alloc(frameBytes(frame));
  writeFrame(frame, bytes, 0);
  return bytes;
}
