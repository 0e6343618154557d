import type { Request } from 'express';
import { Failure } from '../failure.ts';
import { parseBody, type StructureLimits } from '../intake/json-structure.ts';
import type { PictureBytes } from '../intake/picture-bytes.ts';

/**
 * Parses the body as JSON, once; its bytes are released, except its pictures.
 * @throws Failure `unsupported_media_type` for another content type, `invalid_json`, `body_too_large`
 */
export function jsonBody(req: Request, limits: StructureLimits, pictures: PictureBytes): unknown {
  const type = (req.headers['content-type'] ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type !== 'application/json' && !/^application\/[\w.-]+\+json$/.test(type))
    throw new Failure(
      'unsupported_media_type',
      `send the body as content-type application/json, not ${type.slice(0, 80)}`,
    );
  const bytes: unknown = req.body;
  req.body = undefined;
  if (!Buffer.isBuffer(bytes) || bytes.length === 0)
    throw new Failure('invalid_json', 'the body is empty; send a JSON object');
  return parseBody(bytes, limits, pictures);
}
