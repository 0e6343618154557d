import type { IncomingMessage } from 'node:http';
import { malformed } from './errors.ts';
import { jsonErrorAt } from './json-position.ts';
import { complaints } from './pydantic.ts';

/**
 * Reads a JSON body of any size (vLLM's server has no limit).
 * @throws ApiError 400 of type `Bad Request` for another content type, an empty body, invalid JSON (with its position)
 */
export async function readJsonBody(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
  const type = (req.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw malformed("1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed", null);
  }
  const text = (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))?.toString('utf8') ?? '';
  if (text === '') throw complaints([{ type: 'missing', path: [], message: 'Field required', input: null }]);
  try {
    return JSON.parse(text);
  } catch {
    const { position, reason } = jsonErrorAt(text);
    throw complaints([
      {
        type: 'json_invalid',
        path: [position],
        message: 'JSON decode error',
        input: {},
        context: `'error': '${reason}'`,
      },
    ]);
  }
}
