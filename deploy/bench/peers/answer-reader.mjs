// @ts-check
/**
 * Reads HTTP/1.1 answers of one connection, only as far as a load generator needs, so that it stays cheap.
 * Texts are latin1: one character is one byte.
 */
export class AnswerReader {
  /** What arrived and is not yet a complete head, chunk size or line. */
  #rest = '';
  #inBody = false;
  #chunked = false;
  #lastChunk = false;
  /** bytes of the body, or of its current chunk, that have not arrived */
  #missing = 0;
  status = 0;
  /** the server closes the connection after this answer */
  closes = false;

  /**
   * @param {string} text
   * @param {(body: string) => void} onBody
   * @returns {boolean} whether the answer is complete
   */
  feed(text, onBody) {
    this.#rest = this.#rest === '' ? text : this.#rest + text;
    if (!this.#inBody && !this.#readHead()) return false;
    return this.#chunked ? this.#readChunks(onBody) : this.#readBytes(onBody);
  }

  /** Whether the end of the connection is the end of the answer. */
  get endsWithConnection() {
    return this.#inBody && this.#missing === Infinity;
  }

  #readHead() {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const head = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 4);
    this.status = Number(head.slice(9, 12));
    this.#chunked = /\r\ntransfer-encoding: *chunked/i.test(head);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    this.#missing = this.#chunked ? 0 : length === undefined ? Infinity : Number(length);
    this.closes = this.#missing === Infinity || /\r\nconnection: *close/i.test(head);
    this.#lastChunk = false;
    this.#inBody = true;
    return true;
  }

  /** @param {(body: string) => void} onBody */
  #readBytes(onBody) {
    if (this.#rest.length > 0) onBody(this.#rest);
    this.#missing -= this.#rest.length;
    this.#rest = '';
    if (this.#missing > 0) return false;
    this.#inBody = false;
    return true;
  }

  /** @param {(body: string) => void} onBody */
  #readChunks(onBody) {
    while (this.#rest !== '') {
      if (this.#missing > 2) {
        const piece = this.#rest.slice(0, this.#missing - 2);
        onBody(piece);
        this.#missing -= piece.length;
        this.#rest = this.#rest.slice(piece.length);
        if (this.#missing > 2) return false;
      }
      if (this.#missing > 0) {
        const lineEnd = Math.min(this.#missing, this.#rest.length);
        this.#missing -= lineEnd;
        this.#rest = this.#rest.slice(lineEnd);
        continue;
      }
      const end = this.#rest.indexOf('\r\n');
      if (end === -1) return false;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 2);
      if (this.#lastChunk) {
        if (line !== '') continue;
        this.#inBody = false;
        return true;
      }
      const size = Number.parseInt(line, 16);
      if (size === 0) this.#lastChunk = true;
      // the data and the line end after it
      else this.#missing = size + 2;
    }
    return false;
  }
}
