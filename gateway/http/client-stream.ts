import type { Response } from 'express';
import type { ClientStream } from '../answer/client-stream.ts';
import type { Phases } from '../answer/notes.ts';
import type { Rendered } from '../answer/renderers.ts';
import { send } from './error-middleware.ts';
import { waitHeaders } from './notes.ts';
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
  readonly #phases: Phases;

  /** @param phases of the request, for the headers that tell its wait */
  constructor(res: Response, phases: Phases) {
    this.#res = res;
    this.#phases = phases;
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
    const waited = waitHeaders(this.#phases, performance.now());
    send(this.#res, { ...answer, headers: { ...answer.headers, ...waited } });
  }

  write(piece: Buffer | string): void {
    const res = this.#res;
    if (!res.headersSent) res.writeHead(200, { ...STREAM_HEADERS, ...waitHeaders(this.#phases) });
    res.write(piece);
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
