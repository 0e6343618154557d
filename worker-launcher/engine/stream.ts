import type { TraceContext } from '#contract/trace';
import { ClosedEarly, type EngineConnections } from './connections.ts';

/** Receives the answer to one engine request, in order: `head`, any number of `data`, then `end` or `failed`, once. */
export interface EngineSink {
  head(status: number, contentType: string): void;
  /** @param chunk bytes as received, valid only during this call; a piece may contain half an SSE event */
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
  /** what the engine's own spans are below; absent: nothing */
  readonly trace?: TraceContext | undefined;
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
export function streamFromEngine(
  connections: EngineConnections,
  request: EngineRequest,
  sink: EngineSink,
): EngineStream {
  let over = false;
  const send = (mayRepeat: boolean): ReturnType<EngineConnections['send']> => {
    let answered = false;
    return connections.send(
      headOf(request, connections.host),
      request.body,
      {
        head: (status, contentType) => {
          answered = true;
          if (!over) sink.head(status, contentType);
        },
        data: (chunk) => {
          if (!over) sink.data(chunk);
        },
        end: () => {
          over = true;
          sink.end();
        },
        failed: (cause) => {
          if (over) return;
          if (mayRepeat && !answered && wasReset(cause)) {
            connections.again(() => {
              if (!over) current = send(false);
            });
            return;
          }
          over = true;
          // If the retry is refused, the engine has exited after the first try.
          sink.failed(cause, !mayRepeat || !wasRefused(cause));
        },
      },
      !mayRepeat,
    );
  };
  let current = send(true);
  return {
    abort: () => {
      over = true;
      current.abort();
    },
    pause: () => current.pause(),
    resume: () => current.resume(),
  };
}

/** Visible ASCII: nothing that could end a header. */
const HEADER_VALUE = /^[\x21-\x7e]+$/;

/** The contract allows nothing in the context of a trace that could end a header. @throws Error if the id cannot be one */
function headOf({ path, body, requestId, trace }: EngineRequest, host: string): string {
  if (!HEADER_VALUE.test(requestId)) throw new Error('the request id has characters that no header may have');
  return `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\nx-request-id: ${requestId}\r\n${traceLines(trace)}content-length: ${body.length}\r\n\r\n`;
}

function traceLines(trace: TraceContext | undefined): string {
  if (trace === undefined) return '';
  const { traceparent, tracestate } = trace;
  const state = tracestate === undefined ? '' : `tracestate: ${tracestate}\r\n`;
  return `traceparent: ${traceparent}\r\n${state}`;
}

function wasReset(cause: Error): boolean {
  const code = 'code' in cause ? cause.code : undefined;
  return cause instanceof ClosedEarly || code === 'ECONNRESET' || code === 'EPIPE';
}

function wasRefused(cause: Error): boolean {
  const code = 'code' in cause ? cause.code : undefined;
  return code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ETIMEDOUT';
}
