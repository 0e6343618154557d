/** Longest head, and longest sum of a body's chunk extensions and trailers, in bytes. */
const LONGEST_HEAD_BYTES = 64 * 1024;
const HEAD_END = '\r\n\r\n';
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?$/;
const HEADER = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/;
const LENGTH = /^\d{1,15}$/;
const MOST_SIZE_DIGITS = 12;
const CR = 13;
const LF = 10;
const SEMICOLON = 59;

/** Receives the parts of an answer. */
export interface AnswerParts {
  head(status: number, contentType: string): void;
  /** @param bytes valid only during this call: the next bytes of any connection overwrite them */
  data(bytes: Buffer): void;
}

/** What the next byte of a chunked body belongs to. */
type Next =
  'size' | 'extension' | 'size lf' | 'data' | 'data cr' | 'data lf' | 'line' | 'trailer' | 'trailer lf' | 'lf';

/**
 * Reads one answer of HTTP 1.1 from the bytes of a connection (source: RFC 9112). It reads a body in place, and hands
 * over the data of all chunks of one piece together. So a token costs no object.
 */
export class HttpAnswer {
  readonly #parts: AnswerParts;
  /** copy of an incomplete head */
  #head: Buffer | undefined = Buffer.alloc(0);
  #isChunked = false;
  #next: Next = 'size';
  /** bytes of the body, or of the chunk, that have not arrived; Infinity: until the connection is closed */
  #left = 0;
  #digits = 0;
  #besideBytes = 0;
  #isOver = false;
  #staysOpen = true;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** its last byte was read */
  get isOver(): boolean {
    return this.#isOver;
  }
  /** the engine can get another request on this connection */
  get staysOpen(): boolean {
    return this.#staysOpen;
  }
  /** a connection that ends now ends the answer */
  get endsByClose(): boolean {
    return this.#head === undefined && !this.#isChunked && this.#left === Infinity;
  }

  /** @param bytes as they arrived; they are overwritten @throws Error if they are no answer */
  read(bytes: Buffer): void {
    let piece = bytes;
    let at = 0;
    while (this.#head !== undefined) {
      piece = this.#head.length === 0 ? piece.subarray(at) : Buffer.concat([this.#head, piece]);
      const end = piece.indexOf(HEAD_END);
      if ((end < 0 ? piece.length : end) > LONGEST_HEAD_BYTES) throw new Error('the head of the answer is too long');
      if (end < 0) {
        this.#head = Buffer.from(piece);
        return;
      }
      at = end + HEAD_END.length;
      this.#head = Buffer.alloc(0);
      this.#readHead(piece.toString('latin1', 0, end));
    }
    if (this.#isOver) this.#staysOpen &&= at === piece.length;
    else if (this.#isChunked) this.#readChunks(piece, at);
    else this.#readPlain(piece, at);
  }

  #readHead(text: string): void {
    const [first = '', ...lines] = text.split('\r\n');
    const [, minor, code] = STATUS_LINE.exec(first) ?? [];
    if (code === undefined) throw new Error('the answer does not begin with a status line of HTTP 1');
    const status = Number(code);
    const headers = readHeaders(lines);
    // An interim answer, such as 100; the real one follows.
    if (status < 200) {
      if (status === 101) throw new Error('the engine wants another protocol');
      return;
    }
    this.#head = undefined;
    const connection = headers.get('connection')?.toLowerCase() ?? '';
    this.#staysOpen = minor === '1' ? !connection.includes('close') : connection.includes('keep-alive');
    this.#frame(status, headers.get('transfer-encoding')?.toLowerCase(), headers.get('content-length'));
    this.#parts.head(status, headers.get('content-type') ?? 'application/octet-stream');
  }

  /** How the body ends. */
  #frame(status: number, encoding: string | undefined, length: string | undefined): void {
    if (status === 204 || status === 304) this.#isOver = true;
    else if (encoding !== undefined) {
      if (encoding !== 'chunked' || length !== undefined) throw new Error('the body of the answer has an unknown form');
      this.#isChunked = true;
    } else if (length === undefined) {
      this.#left = Infinity;
      this.#staysOpen = false;
    } else {
      if (!LENGTH.test(length)) throw new Error('the body of the answer has no readable length');
      this.#left = Number(length);
      this.#isOver = this.#left === 0;
    }
  }

  #readPlain(piece: Buffer, from: number): void {
    const end = Math.min(piece.length, from + this.#left);
    if (end > from) this.#parts.data(piece.subarray(from, end));
    this.#left -= end - from;
    this.#isOver = this.#left === 0;
    this.#staysOpen &&= end === piece.length;
  }

  #readChunks(piece: Buffer, from: number): void {
    let at = from;
    let to = from;
    while (at < piece.length && !this.#isOver) {
      if (this.#next === 'data') {
        const end = Math.min(piece.length, at + this.#left);
        if (to !== at) piece.copyWithin(to, at, end);
        to += end - at;
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#next = 'data cr';
      } else {
        this.#step(piece[at] ?? 0);
        at += 1;
      }
    }
    if (to > from) this.#parts.data(piece.subarray(from, to));
    this.#staysOpen &&= at === piece.length;
  }

  #step(byte: number): void {
    switch (this.#next) {
      case 'size':
        return this.#readSize(byte);
      case 'extension':
        this.#beside();
        return byte === CR ? this.#to('size lf') : undefined;
      case 'size lf':
        this.#digits = 0;
        return this.#expect(byte, LF, this.#left === 0 ? 'line' : 'data');
      case 'data cr':
        return this.#expect(byte, CR, 'data lf');
      case 'data lf':
        return this.#expect(byte, LF, 'size');
      case 'line':
        return this.#to(byte === CR ? 'lf' : 'trailer');
      case 'trailer':
        this.#beside();
        return byte === CR ? this.#to('trailer lf') : undefined;
      case 'trailer lf':
        return this.#expect(byte, LF, 'line');
      case 'lf':
        this.#expect(byte, LF, 'size');
        this.#isOver = true;
        return undefined;
      case 'data':
        return undefined;
      default:
        return this.#next satisfies never;
    }
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== undefined && this.#digits < MOST_SIZE_DIGITS) {
      this.#left = (this.#digits === 0 ? 0 : this.#left * 16) + digit;
      this.#digits += 1;
    } else if (this.#digits > 0 && byte === CR) this.#to('size lf');
    else if (this.#digits > 0 && byte === SEMICOLON) this.#to('extension');
    else throw new Error('a chunk of the answer has no readable size');
  }

  #to(next: Next): void {
    this.#next = next;
  }

  #expect(byte: number, expected: number, next: Next): void {
    if (byte !== expected) throw new Error('a chunk of the answer has no end');
    this.#next = next;
  }

  #beside(): void {
    this.#besideBytes += 1;
    if (this.#besideBytes > LONGEST_HEAD_BYTES) throw new Error('the answer has too much beside its chunks');
  }
}

function readHeaders(lines: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = HEADER.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error('the answer has an unreadable header');
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : undefined;
}
