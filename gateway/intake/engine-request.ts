import { parseBody } from './json-structure.ts';
import { PictureBytes } from './picture-bytes.ts';

/** It was within limits when it was made. */
const WITHIN = { bytes: Infinity, depth: Infinity, values: Infinity, texts: Infinity };

/** A request that was made for an engine, to be asked in another way. */
export interface EngineRequest {
  /** markers stand for its pictures, which stay bytes */
  readonly body: unknown;
  /** @returns the request that `changed` is, the pictures in their places */
  write(changed: object): Buffer;
}

/** @param bytes as an engine was to get it @throws Failure `invalid_json` when it is none */
export function readEngineRequest(bytes: Buffer): EngineRequest {
  const pictures = new PictureBytes();
  return {
    body: parseBody(bytes, WITHIN, pictures, true),
    write: (changed) => Buffer.concat(pictures.join(JSON.stringify(changed))),
  };
}
