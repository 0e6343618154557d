import { parseBody } from './json-structure.ts';
import { PictureBytes } from './picture-bytes.ts';

/** For what was within the limits when it was made. */
export const WITHIN = { bytes: Infinity, depth: Infinity, values: Infinity, texts: Infinity };

/** A request for an engine, read back so that it can be changed. */
export interface EngineRequest {
  /** has markers in place of its pictures, which stay bytes */
  readonly body: unknown;
  /** @returns the request `changed` with the pictures in their places */
  write(changed: object): Buffer;
}

/** @param bytes a request for an engine @throws Failure `invalid_json` for anything else */
export function readEngineRequest(bytes: Buffer): EngineRequest {
  const pictures = new PictureBytes();
  return {
    body: parseBody(bytes, WITHIN, pictures, true),
    write: (changed) => Buffer.concat(pictures.join(JSON.stringify(changed))),
  };
}
