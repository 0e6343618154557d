import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError, internalError } from './errors.ts';

const JSON_TYPE = 'application/json';
const SERVER = 'uvicorn';

type Headers = Readonly<Record<string, string>>;

/** One HTTP request and the ways to answer it. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly #headers: Record<string, string>;
  readonly #abort = new AbortController();
  #isEnded = false;

  constructor(req: IncomingMessage, res: ServerResponse, echoesRequestId: boolean) {
    this.req = req;
    this.res = res;
    const [path = '/', query = ''] = (req.url ?? '/').split('?', 2);
    this.path = path;
    this.query = new URLSearchParams(query);
    this.#headers = { server: SERVER, vary: 'Origin' };
    if (echoesRequestId)
      this.#headers['x-request-id'] = this.header('x-request-id') ?? randomUUID().replaceAll('-', '');
    // Uvicorn sends neither `connection` nor `keep-alive`, so clients do not learn when it closes idle sockets.
    res.removeHeader('connection');
    res.on('close', () => {
      if (!this.#isEnded) this.#abort.abort();
      this.#isEnded = true;
    });
  }

  /** Aborts if the client leaves before the answer is complete; a half-close counts as leaving. */
  get gone(): AbortSignal {
    return this.#abort.signal;
  }

  header(name: string): string | undefined {
    const value = this.req.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  json(status: number, body: unknown, more: Headers = {}): void {
    this.text(status, JSON_TYPE, JSON.stringify(body), more);
  }

  error(error: unknown): void {
    const known =
      error instanceof ApiError ? error : internalError(error instanceof Error ? error.message : String(error));
    if (known.isUncaught) this.bare(known.status, known.body());
    else this.text(known.status, JSON_TYPE, known.body());
  }

  /** A JSON answer without the headers of vLLM's middleware. */
  bare(status: number, body: string): void {
    this.#send(status, JSON_TYPE, body, { server: SERVER });
  }

  /** @param type null for an answer without a body type, such as `/health` */
  text(status: number, type: string | null, body: string, more: Headers = {}): void {
    this.#send(status, type, body, { ...this.#headers, ...more });
  }

  /** Starts an event stream; the head is sent immediately, even if the request is still queued. */
  stream(hook?: EventHook): EventStream {
    this.res.writeHead(200, {
      ...this.#headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'transfer-encoding': 'chunked',
    });
    this.res.flushHeaders();
    // Own framing of chunks: one write for each event instead of four by node:http.
    this.res.chunkedEncoding = false;
    return new EventStream(
      this.res,
      () => {
        this.#isEnded = true;
      },
      hook,
    );
  }

  #send(status: number, type: string | null, body: string, headers: Headers): void {
    if (this.#isEnded || this.res.headersSent) return;
    this.#isEnded = true;
    const length = String(Buffer.byteLength(body));
    const typed = type === null ? {} : { 'content-type': type };
    this.res.writeHead(status, { ...headers, 'content-length': length, ...typed });
    this.res.end(body);
  }
}

/** Changes each piece of a stream before it is written. @returns the text to write; undefined for none */
export type EventHook = (text: string, stream: EventStream) => string | undefined;

/** Writes events, each as one HTTP chunk, as vLLM does. */
export class EventStream {
  readonly #res: ServerResponse;
  readonly #onEnd: () => void;
  readonly #hook: EventHook | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  #isSilent = false;

  constructor(res: ServerResponse, onEnd: () => void, hook?: EventHook) {
    this.#res = res;
    this.#hook = hook;
    this.#onEnd = onEnd;
    res.on('close', () => clearInterval(this.#keepAlive));
  }

  /** @param text one or more complete events, blank lines included; '' sends nothing */
  write(text: string): void {
    if (text === '') return;
    this.#keepAlive?.refresh();
    const shown = this.#hook === undefined ? text : this.#hook(text, this);
    if (shown !== undefined) this.#send(shown);
  }

  /** Sends a comment whenever nothing was written for `intervalMs`; 0 means never. */
  keepAliveEvery(intervalMs: number): void {
    if (intervalMs > 0) this.#keepAlive = setInterval(() => this.#send(': keep-alive\n\n'), intervalMs);
  }

  end(): void {
    clearInterval(this.#keepAlive);
    if (this.#isSilent) return;
    this.#onEnd();
    if (!this.#res.writableEnded) this.#res.end('0\r\n\r\n');
  }

  /** Sends nothing more and keeps the connection open. */
  silence(): void {
    clearInterval(this.#keepAlive);
    this.#isSilent = true;
  }

  /** Destroys the connection in the middle of the body. */
  cut(): void {
    clearInterval(this.#keepAlive);
    this.#res.socket?.destroy();
  }

  /** Closes the connection after the last written event, without the last chunk that HTTP requires. */
  breakOff(): void {
    clearInterval(this.#keepAlive);
    this.#res.socket?.end();
  }

  #send(text: string): void {
    if (this.#isSilent || this.#res.writableEnded || this.#res.socket?.writable !== true) return;
    this.#res.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  }
}
