import type { Response } from 'express';
import type { ClientStream } from '../answer/client-stream.ts';
import type { Rendered } from '../answer/renderers.ts';
import { send } from './error-middleware.ts';
import { requestContext } from './request-context.ts';

/** Sent unbuffered: nginx would otherwise collect the stream (`x-accel-buffering`). */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;
/** A client that does not read its error event is disconnected after this, in milliseconds. */
const CUT_MS = 10_000;

/** The client at the other end of an HTTP request. */
export class HttpClientStream implements ClientStream {
  readonly #res: Response;
  /** its answer has begun in the chunked form of HTTP 1.1 */
  #isChunked = false;

  constructor(res: Response) {
    this.#res = res;
  }

  get isBegun(): boolean {
    return this.#res.headersSent;
  }
  get isGone(): boolean {
    return this.#res.destroyed;
  }
  get unsentBytes(): number {
    return this.#res.writableLength;
  }

  send(answer: Rendered): void {
    send(this.#res, answer);
  }

  write(piece: Buffer | string): void {
    const res = this.#res;
    const { socket } = res;
    // Node would make three pieces of each chunk, and a list of buffers for the kernel: twice the CPU.
    if (this.#isChunked && socket?.writable === true && !res.writableEnded && piece.length > 0) {
      socket.write(chunkOf(piece));
      return;
    }
    if (!res.headersSent) res.writeHead(200, STREAM_HEADERS);
    res.write(piece);
    this.#isChunked = res.chunkedEncoding;
  }

  end(last?: string): void {
    this.#res.end(last);
  }

  cut(last: string): void {
    const res = this.#res;
    requestContext(res).isCut = true;
    const cut = (): void => void res.destroy();
    res.write(last, cut);
    setTimeout(cut, CUT_MS).unref();
  }

  giveUp(): void {
    this.#res.destroy();
  }
}

const CR = 13;
const LF = 10;

/** One chunk of a body (source: RFC 9112, 7.1). an empty one would end the body */
function chunkOf(piece: Buffer | string): Buffer {
  const data = typeof piece === 'string' ? Buffer.from(piece) : piece;
  const head = `${data.length.toString(16)}\r\n`;
  const chunk = Buffer.allocUnsafe(head.length + data.length + 2);
  chunk.write(head, 0, 'latin1');
  chunk.set(data, head.length);
  chunk[chunk.length - 2] = CR;
  chunk[chunk.length - 1] = LF;
  return chunk;
}
