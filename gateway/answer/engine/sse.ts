import { isUtf8 } from 'node:buffer';

/** One event of a server-sent stream. */
export interface ServerEvent {
  /** of its `event:` line; empty without one */
  readonly name: string;
  /** its `data:` lines, joined by line feeds; may be a view of what was read */
  readonly data: Buffer;
}

const CR = 13;
const LF = 10;
const COLON = 58;
const SPACE = 32;
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');
const LINE_FEED = Buffer.from('\n');
const LONGEST_FIELD = 'retry'.length;
const COMMENT = Buffer.from(':');
/** Limit for one event or one complete answer: log probabilities of the longest answers take about 10 MB. */
export const LONGEST_BYTES = 64 * 1024 * 1024;
/** Memory that each piece takes in addition to its bytes. */
const PIECE_BYTES = 128;

/**
 * Reads events from bytes as they arrive (source: WHATWG HTML, "Server-sent events"). Lines end in CR, LF or CRLF. A
 * byte order mark may come first. Comments, `id:`, `retry:` and unknown fields are ignored, and so is an event that the
 * end of the stream cuts off.
 */
export class EventReader {
  /** of a line whose end has not arrived */
  #line: Buffer[] = [];
  #data: Buffer[] = [];
  #name = '';
  #lineBytes = 0;
  #dataBytes = 0;
  #isFirstLine = true;
  /** the last byte was a CR; a following LF belongs to it */
  #mayBeLineFeed = false;

  /** no incomplete event has begun */
  get isBetween(): boolean {
    return this.#line.length === 0 && this.#data.length === 0 && this.#name === '';
  }
  /** an event is longer than the limit */
  get isEndless(): boolean {
    return this.#lineBytes + this.#dataBytes > LONGEST_BYTES;
  }

  read(chunk: Buffer): ServerEvent[] {
    const events: ServerEvent[] = [];
    let at = this.#mayBeLineFeed && chunk[0] === LF ? 1 : 0;
    if (chunk.length > 0) this.#mayBeLineFeed = false;
    let cr = chunk.indexOf(CR, at);
    let lf = chunk.indexOf(LF, at);
    while (at < chunk.length) {
      if (cr >= 0 && cr < at) cr = chunk.indexOf(CR, at);
      if (lf >= 0 && lf < at) lf = chunk.indexOf(LF, at);
      const end = cr >= 0 && (lf < 0 || cr < lf) ? cr : lf;
      if (end < 0) {
        this.#keep(chunk.subarray(at));
        break;
      }
      const event = this.#endLine(chunk.subarray(at, end));
      if (event !== undefined) events.push(event);
      at = end + 1;
      if (end !== cr) continue;
      if (at === chunk.length) this.#mayBeLineFeed = true;
      else if (chunk[at] === LF) at += 1;
    }
    return events;
  }

  /** Keeps only the colon of a comment. */
  #keep(piece: Buffer): void {
    const isComment = (this.#line[0] ?? piece)[0] === COLON;
    if (!isComment) this.#line.push(piece);
    else this.#line = [COMMENT];
    this.#lineBytes = isComment ? 0 : this.#lineBytes + piece.length + PIECE_BYTES;
  }

  #endLine(rest: Buffer): ServerEvent | undefined {
    let line = this.#line.length === 0 ? rest : Buffer.concat([...this.#line, rest]);
    this.#line = [];
    this.#lineBytes = 0;
    if (this.#isFirstLine) {
      this.#isFirstLine = false;
      line = withoutMark(line);
    }
    if (line.length === 0) return this.#dispatch();
    const colon = line.indexOf(COLON);
    const fieldEnd = colon < 0 ? line.length : colon;
    const field = fieldEnd > LONGEST_FIELD ? '' : line.toString('latin1', 0, fieldEnd);
    const value = line.subarray(line[fieldEnd + 1] === SPACE ? fieldEnd + 2 : fieldEnd + 1);
    if (field === 'data') {
      this.#data.push(value);
      this.#dataBytes += value.length + PIECE_BYTES;
    } else if (field === 'event') this.#name = value.toString('utf8');
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const data = this.#data;
    const name = this.#name;
    this.#data = [];
    this.#name = '';
    this.#dataBytes = 0;
    const [first, ...more] = data;
    if (first === undefined) return undefined;
    return {
      name,
      data: more.length === 0 ? first : Buffer.concat([first, ...more.flatMap((one) => [LINE_FEED, one])]),
    };
  }
}

/** @returns undefined for invalid JSON or UTF-8 */
export function parseJson(bytes: Buffer): unknown {
  return isUtf8(bytes) ? parseText(bytes.toString('utf8')) : undefined;
}

/** @returns undefined for invalid JSON */
export function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Removes the byte order mark that may come before an engine's output. */
export function withoutMark(bytes: Buffer): Buffer {
  return bytes.indexOf(BYTE_ORDER_MARK) === 0 ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
}

const OPEN_BRACE = 0x7b;
const MEANT: ReadonlySet<string> = new Set(['', 'message', 'error']);

/** Whether the name is no part of any answer, such as `ping`; the data of such an event need not be JSON. */
export function isForeign({ name, data }: ServerEvent): boolean {
  return !MEANT.has(name) && !name.startsWith('response.') && data[0] !== OPEN_BRACE;
}

const DATA = Buffer.from('data: ');
const END = Buffer.from('\n\n');

/** An event in vLLM's form. @param data parsed JSON, so that a line feed in it can only be between two tokens */
export function eventBytes(data: Buffer, name = ''): Buffer {
  const line = data.includes(LF) ? Buffer.from(data.toString('latin1').replaceAll('\n', ' '), 'latin1') : data;
  return Buffer.concat(name === '' ? [DATA, line, END] : [Buffer.from(`event: ${name}\n`), DATA, line, END]);
}

/** One piece as it is; several pieces joined. */
export function joinPieces(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}
