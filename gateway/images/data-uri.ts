import { setImmediate as nextTurn } from 'node:timers/promises';
import { Failure } from '#contract/failure';

/** The form that every refusal of a malformed picture tells. */
export const DATA_URI_FORM = 'data:image/png;base64,… in standard base64, without line breaks, padded with =';

/** A `data:` URI whose base64 is known to be sound; the bytes stay undecoded. */
export interface Base64Image {
  readonly base64: string;
  /** decoded length */
  readonly bytes: number;
}

/** Characters checked in one go: 20 MB at once would hold up every other stream for some 15 ms. */
const SLICE = 2 * 1024 * 1024;

/** True for what claims to be a `data:` URI; schemes are case-insensitive. */
export function isDataUri(url: string): boolean {
  return /^data:/i.test(url.slice(0, 5));
}

/**
 * Takes a `data:` URI apart and checks every character, as the engine's decoder is as strict (source: vLLM, which refuses
 * any character outside the alphabet). Line breaks and the URL-safe alphabet are refused and not mended: mending copies
 * the whole text. The media type is not read, the bytes decide.
 * @param param where it stands in the caller's body
 * @throws Failure `invalid_image` telling the right form; the text itself is never quoted
 */
export async function parseDataUri(url: string, param: string, signal: AbortSignal): Promise<Base64Image> {
  const comma = url.slice(0, 256).indexOf(',');
  if (comma === -1 || !/;base64$/i.test(url.slice(0, comma))) throw malformed('is not base64 data', param);
  const base64 = url.slice(comma + 1);
  const padding = /={0,2}$/.exec(base64.slice(-2))?.[0].length ?? 0;
  const end = base64.length - padding;
  for (let at = 0; at < end; at += SLICE) {
    if (at > 0) await nextTurn();
    signal.throwIfAborted();
    const wrong = /[^A-Za-z0-9+/]/.exec(base64.slice(at, Math.min(at + SLICE, end)));
    if (wrong !== null) throw malformed(problemOf(base64.slice(at + wrong.index, at + wrong.index + 3)), param);
  }
  if (base64.length % 4 !== 0 || end === 0) throw malformed('has base64 that is cut short or not padded', param);
  return { base64, bytes: (base64.length / 4) * 3 - padding };
}

/** @param wrong the first character that is none of base64's, and two more: padding may stand before white space */
function problemOf(wrong: string): string {
  const space = /^={0,2}(\s)/.exec(wrong)?.[1];
  if (space === '\n' || space === '\r') return 'has white space in its base64: a line break';
  if (space !== undefined) return 'has white space in its base64';
  if (/^[-_]/.test(wrong)) return 'has base64 in the URL-safe alphabet';
  return 'has base64 with a character that does not belong there';
}

function malformed(problem: string, param: string): Failure {
  return new Failure('invalid_image', `${param} ${problem}; expected ${DATA_URI_FORM}`, { param });
}
