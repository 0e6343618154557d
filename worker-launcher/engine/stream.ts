import type { Dispatcher, Pool } from 'undici';

/** What one request to an engine brings, in order: `head`, any number of `data`, then `end` or `failed`, once. */
export interface EngineSink {
  head(status: number, contentType: string): void;
  /** bytes as they came; a piece may hold half an SSE event */
  data(chunk: Buffer): void;
  end(): void;
  /**
   * The connection was refused, reset or ended early.
   * @param hadIt the engine had the request before: it may have ended because of it
   */
  failed(cause: Error, hadIt: boolean): void;
}

export interface EngineRequest {
  readonly path: string;
  readonly body: Buffer;
  /** becomes `chatcmpl-<value>` in the answer (source: vLLM's `X-Request-Id`) */
  readonly requestId: string;
}

/** A request under way. */
export interface EngineStream {
  /** Closes the socket, on which vLLM aborts the generation; nothing reaches the sink after it. */
  abort(): void;
  /** Stops reading the socket, until `resume`: TCP holds the engine back. */
  pause(): void;
  resume(): void;
}

/**
 * Sends one request, bytes out. No time limit of its own: deadline and silence are judged by who asked.
 * A kept-alive connection that is reset before any byte of the answer is tried once more, as the engine closes idle
 * connections at its own time.
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
          // A second try that is refused: the engine ended after the first.
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
