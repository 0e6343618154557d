import { isUtf8 } from 'node:buffer';

/** @returns undefined for what is no JSON in UTF-8 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
