import type { Response } from 'express';
import type { Failure } from '#contract/failure';
import type { Usage } from '#contract/chat';
import type { Head } from '#contract/frame';
import type { Clock } from '#runtime/clock';
import { EngineEvents } from '../relay/engine-events.ts';
import type { Reply } from '../ask.ts';
import { brokenStream, engineFailure } from '../relay/engine-failure.ts';

/** Written as the stream goes; nginx would otherwise collect it (`x-accel-buffering`). */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;

export interface StreamReplyOptions {
  /** where the caller wrote the messages, for what is said of a prompt that is too long */
  readonly messagesParam: string;
  readonly passUsage: boolean;
  /** a comment after this much silence, in ms; the headers go with the first, so that earlier failures keep their status */
  readonly keepAliveMs: number;
  /** unsent bytes at which a client that does not read is given up */
  readonly slowClientBytes: number;
  readonly clock: Clock;
  readonly onFirstByte: () => void;
}

/** Writes a streamed answer to its client, event by event. */
export class StreamReply implements Reply {
  #events: EngineEvents;
  readonly #res: Response;
  readonly #options: StreamReplyOptions;
  readonly #keepAlive: NodeJS.Timeout;
  #lastWriteAt: number;
  #status = 0;
  #errorBody: Buffer[] = [];
  #bytes = 0;
  #sawData = false;

  constructor(res: Response, options: StreamReplyOptions) {
    this.#res = res;
    this.#options = options;
    this.#events = new EngineEvents(options.passUsage);
    this.#lastWriteAt = options.clock();
    this.#keepAlive = setInterval(() => this.#keepOpen(), Math.min(1_000, options.keepAliveMs));
  }

  head(head: Head): void {
    this.#status = head.status;
  }

  data(chunk: Buffer): void {
    if (this.#status !== 200) {
      this.#errorBody.push(chunk);
      return;
    }
    const bytes = this.#events.take(chunk);
    if (bytes.length === 0) return;
    if (!this.#sawData) {
      this.#sawData = true;
      this.#options.onFirstByte();
    }
    this.#write(bytes);
  }

  end(): Failure | undefined {
    const { messagesParam } = this.#options;
    if (this.#status !== 200) return engineFailure(this.#status, Buffer.concat(this.#errorBody), messagesParam);
    return this.#events.done ? undefined : brokenStream(this.#events.error);
  }

  restart(): boolean {
    if (this.#sawData) return false;
    this.#events = new EngineEvents(this.#options.passUsage);
    this.#errorBody = [];
    this.#status = 0;
    return true;
  }

  get usage(): Usage | undefined {
    return this.#events.usage;
  }

  /** Stops the keep-alive; to be called when the request is over, however it ended. */
  close(): void {
    clearInterval(this.#keepAlive);
  }

  get bytes(): number {
    return this.#bytes;
  }

  #keepOpen(): void {
    if (this.#options.clock() - this.#lastWriteAt >= this.#options.keepAliveMs) this.#write(': keep-alive\n\n');
  }

  #write(bytes: Buffer | string): void {
    const res = this.#res;
    if (res.destroyed) return;
    if (!res.headersSent) res.writeHead(200, STREAM_HEADERS);
    this.#lastWriteAt = this.#options.clock();
    this.#bytes += bytes.length;
    res.write(bytes);
    // Destroying it is a hang-up like any other: the attempt is cancelled.
    if (res.writableLength > this.#options.slowClientBytes) res.destroy();
  }
}
