import type { Dispatcher, Pool } from 'undici';

/** Receives the answer to one engine request, in order: `head`, any number of `data`, then `end` or `failed`, once. */
export interface EngineSink {
  head(status: number, contentType: string): void;
  /** bytes as received; a piece may contain half an SSE event */
  data(chunk: Buffer): void;
  end(): void;
  /**
   * The connection was refused, reset or ended early.
   * @param hadIt the engine already had the request, which may have ended it
   */
  failed(cause: Error, hadIt: boolean): void;
}

export interface EngineRequest {
  readonly path: string;
  readonly body: Buffer;
  /** becomes `chatcmpl-<value>` in the answer (source: vLLM's `X-Request-Id`) */
  readonly requestId: string;
}

/** A running request. */
export interface EngineStream {
  /** Closes the socket, so that vLLM aborts the generation; the sink gets no more calls. */
  abort(): void;
  /** Stops reading the socket until `resume`, so that TCP backpressure slows the engine. */
  pause(): void;
  resume(): void;
}

/**
 * Sends one request and streams the answer's bytes. It has no timeout: the caller watches deadline and silence.
 * If a kept-alive connection is reset before the first byte of the answer, it retries once, because the engine closes idle
 * connections at any time.
 */
export function streamFromEngine(pool: Pool, request: EngineRequest, sink: EngineSink): EngineStream {
  let current: Dispatcher.DispatchController | undefined;
  let over = false;
  const headers = { 'content-type': 'application/json', 'x-request-id': request.requestId };

  const attempt = (mayRepeat: boolean): void => {
    let answered = false;
    pool.dispatch(
      { path: request.path, method: 'POST', headers, body: request.body, headersTimeout: 0, bodyTimeout: 0 },
      {
        onRequestStart: (controller) => {
          current = controller;
          if (over) controller.abort(new Error('cancelled'));
        },
        onResponseStart: (_controller, status, responseHeaders) => {
          answered = true;
          if (!over) sink.head(status, String(responseHeaders['content-type'] ?? 'application/octet-stream'));
        },
        onResponseData: (_controller, chunk) => {
          if (!over) sink.data(chunk);
        },
        onResponseEnd: () => {
          if (over) return;
          over = true;
          sink.end();
        },
        onResponseError: (_controller, cause) => {
          if (over) return;
          if (mayRepeat && !answered && wasReset(cause)) {
            attempt(false);
            return;
          }
          over = true;
          // If the retry is refused, the engine has exited after the first try.
          sink.failed(cause, !mayRepeat || !wasRefused(cause));
        },
      },
    );
  };
  attempt(true);
  return {
    abort: () => {
      over = true;
      current?.abort(new Error('cancelled'));
    },
    pause: () => current?.pause(),
    resume: () => current?.resume(),
  };
}

function wasReset(cause: Error): boolean {
  const code = 'code' in cause ? cause.code : undefined;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET';
}

function wasRefused(cause: Error): boolean {
  const code = 'code' in cause ? cause.code : undefined;
  return code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'UND_ERR_CONNECT_TIMEOUT';
}
