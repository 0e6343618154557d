import { isUtf8 } from 'node:buffer';
import express, { type Request, type RequestHandler } from 'express';
import { Failure, isFailure } from '#contract/failure';
import { wantBody } from './expected-continue.ts';

/** Reads the bytes of a body, whatever its type says; a larger one is refused before it is read. */
export function readBody(limitBytes: number): RequestHandler {
  const read = express.raw({ type: () => true, limit: limitBytes });
  return (req, res, next) => {
    if (Number(req.headers['content-length'] ?? 0) <= limitBytes) wantBody(res);
    read(req, res, next);
  };
}

/**
 * The body as JSON, once: its bytes are let go.
 * @throws Failure `unsupported_media_type` when the type says that it is something else, `invalid_json`
 */
export function jsonBody(req: Request): unknown {
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
  try {
    return JSON.parse(textOf(bytes)) as unknown;
  } catch (error) {
    if (isFailure(error)) throw error;
    // The parser's own message quotes the body; it must not travel.
    throw new Failure('invalid_json', 'the body is not valid JSON');
  }
}

/** Without a byte order mark, which some editors and shells of Windows put before JSON. */
function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Failure('invalid_json', 'the body is not UTF-8 text');
  const text = bytes.toString('utf8');
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}
