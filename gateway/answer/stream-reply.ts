import type { Response } from 'express';
import type { Failure } from '../failure.ts';
import type { Usage } from '../request/chat.ts';
import type { Head } from '#contract/frame';
import type { Clock } from '#runtime/clock';
import type { EngineAnswer } from './engine/answer.ts';
import type { EmptyEvents } from './empty-events.ts';
import type { Reply, Resume } from './ask.ts';
import {
  closingEvent,
  joinEvent,
  planContinuation,
  readDelivered,
  type CountTokens,
  type FirstLife,
} from './continuation.ts';
import { engineFailure, unfinished } from './engine/failure.ts';
import type { EventWatch } from './engine/event-watch.ts';
import type { SentBytes } from './sent-bytes.ts';

/** Written as the stream goes; nginx would otherwise collect it (`x-accel-buffering`). */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;

const DONE = 'data: [DONE]\n\n';
/** An engine's refusal is a sentence; what is longer is not read on. */
const REFUSAL_LIMIT_BYTES = 1024 * 1024;

/** How long a client may be over the limit, in milliseconds. */
const SLOW_MS = 250;

export interface StreamReplyOptions {
  readonly answer: EngineAnswer;
  /** where the caller wrote the messages, for what is said of a prompt that is too long */
  readonly messagesParam: string;
  readonly passUsage: boolean;
  /** the name that answers carry */
  readonly model: string;
  /** keeps what was sent, for a continuation; or why this request is never continued */
  readonly sent: SentBytes | string;
  /** how a stream whose engine was lost went on: `continued`, `closed`, or the reason why not */
  readonly onContinuation: (outcome: string) => void;
  readonly countTokens: CountTokens;
  /** what the model's engine reads as control tokens */
  readonly specialTokens: RegExp;
  /** in place of comments */
  readonly emptyEvents?: EmptyEvents;
  /** a comment after this much silence, in ms; the headers go with the first, so that earlier failures keep their status */
  readonly keepAliveMs: number;
  /** unsent bytes at which a client that does not read is given up */
  readonly slowClientBytes: number;
  readonly clock: Clock;
  readonly onFirstByte: () => void;
}

/** Writes a streamed answer to its client, event by event. */
export class StreamReply implements Reply {
  #events: EventWatch;
  readonly #res: Response;
  readonly #options: StreamReplyOptions;
  #keepAlive: NodeJS.Timeout;
  #lastWriteAt: number;
  #status = 0;
  #errorBody: Buffer[] = [];
  #errorBytes = 0;
  #bytes = 0;
  #sawData = false;
  #slow: NodeJS.Timeout | undefined;
  /** what a further life goes on from, and the length of what was sent by then */
  #joined: { readonly first: FirstLife; readonly at: number } | undefined;

  constructor(res: Response, options: StreamReplyOptions) {
    this.#res = res;
    this.#options = options;
    this.#events = options.answer.events(options.passUsage);
    this.#lastWriteAt = options.clock();
    this.#keepAlive = setTimeout(() => this.#keepOpen(), options.keepAliveMs);
  }

  head(head: Head): void {
    this.#status = head.status;
  }

  data(chunk: Buffer): Failure | undefined {
    if (this.#status !== 200) {
      this.#errorBytes += chunk.length;
      if (this.#errorBytes <= REFUSAL_LIMIT_BYTES) this.#errorBody.push(chunk);
      return undefined;
    }
    const bytes = this.#events.take(chunk);
    const broken = this.#saidBroken();
    if (bytes.length === 0) return broken;
    if (!this.#sawData) {
      this.#sawData = true;
      this.#options.onFirstByte();
    }
    if (typeof this.#options.sent !== 'string') this.#options.sent.add(bytes);
    this.#options.emptyEvents?.saw(bytes);
    this.#write(bytes);
    return broken;
  }

  end(): Failure | undefined {
    if (this.#status !== 200)
      return engineFailure(this.#status, Buffer.concat(this.#errorBody), this.#options.messagesParam);
    return this.#saidBroken() ?? (this.#events.done ? undefined : unfinished('the stream ended without its end mark'));
  }

  /** The client has the end mark: whatever becomes of the engine now. */
  get isWhole(): boolean {
    return this.#events.done;
  }

  #saidBroken(): Failure | undefined {
    const { refusal, failure } = this.#events;
    if (refusal !== undefined) return engineFailure(refusal.status, refusal.body, this.#options.messagesParam);
    return failure;
  }

  async resume(original: Buffer): Promise<Resume> {
    this.#errorBody = [];
    this.#errorBytes = 0;
    this.#status = 0;
    if (!this.#sawData) {
      const { answer, passUsage, emptyEvents } = this.#options;
      this.#events = answer.events(passUsage, emptyEvents?.join);
      return { kind: 'again' };
    }
    const plan = await this.#plan(original);
    this.#options.onContinuation(
      plan.kind === 'impossible' ? plan.reason : plan.kind === 'whole' ? 'closed' : 'continued',
    );
    return plan;
  }

  async #plan(original: Buffer): Promise<Resume> {
    const { sent, model, countTokens, specialTokens } = this.#options;
    if (this.#events.isFinished) return this.#close(DONE);
    if (typeof sent === 'string') return { kind: 'impossible', reason: sent };
    const bytes = sent.read();
    if (bytes === undefined) return { kind: 'impossible', reason: 'too_long' };
    if (this.#joined !== undefined) {
      if (bytes.length !== this.#joined.at) return { kind: 'impossible', reason: 'second_loss' };
      // A second life that brought nothing, as its engine was just dying, leaves all as it was.
      this.#join(this.#joined.first);
      return { kind: 'again' };
    }
    const delivered = readDelivered(bytes);
    if (delivered === undefined) return { kind: 'impossible', reason: 'unreadable' };
    const plan = await planContinuation(original, delivered, countTokens, specialTokens);
    switch (plan.kind) {
      case 'refused':
        return { kind: 'impossible', reason: plan.reason };
      case 'close':
        return this.#close(closingEvent(delivered, model) + DONE);
      case 'again':
        this.#joined = { first: { ...delivered, tokens: 0 }, at: bytes.length };
        break;
      case 'continue':
        this.#joined = { first: { ...delivered, tokens: plan.tokens }, at: bytes.length };
        break;
      default:
        return plan satisfies never;
    }
    this.#join(this.#joined.first);
    return plan;
  }

  /** Nothing but the end is missing. How long the prompt was is known to the lost engine alone. */
  #close(ending: string): Resume {
    if (this.#options.passUsage && this.#events.usage === undefined)
      return { kind: 'impossible', reason: 'usage_unknown' };
    this.#write(ending);
    return { kind: 'whole' };
  }

  #join(first: FirstLife): void {
    this.#events = this.#options.answer.events(this.#options.passUsage, (event) => joinEvent(event, first));
  }

  get usage(): Usage | undefined {
    return this.#events.usage;
  }

  /** events that the client has, where the API numbers them */
  get passed(): number {
    return this.#events.passed ?? 0;
  }

  /** Stops the keep-alive; to be called when the request is over, however it ended. */
  close(): void {
    clearTimeout(this.#slow);
    clearTimeout(this.#keepAlive);
    if (typeof this.#options.sent !== 'string') this.#options.sent.release();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Waits for just the rest of the silence: a check at fixed intervals comes late by up to one of them. */
  #keepOpen(): void {
    const { clock, keepAliveMs } = this.#options;
    if (this.#res.destroyed) return;
    if (clock() - this.#lastWriteAt >= keepAliveMs) this.#write(this.#nothing());
    const restMs = this.#lastWriteAt + keepAliveMs - clock();
    this.#keepAlive = setTimeout(() => this.#keepOpen(), Math.max(1, restMs));
  }

  /** What says nothing, and keeps the connection open. */
  #nothing(): string {
    const { emptyEvents } = this.#options;
    if (emptyEvents === undefined) return ': keep-alive\n\n';
    const event = emptyEvents.next();
    if (!this.#sawData) this.#events.joinBy?.(emptyEvents.join);
    return event;
  }

  #write(bytes: Buffer | string): void {
    const res = this.#res;
    if (res.destroyed) return;
    if (!res.headersSent) res.writeHead(200, STREAM_HEADERS);
    this.#lastWriteAt = this.#options.clock();
    this.#bytes += bytes.length;
    res.write(bytes);
    if (res.writableLength > this.#options.slowClientBytes) this.#slow ??= setTimeout(() => this.#judge(), SLOW_MS);
  }

  /** Much may come in one moment; a client that reads has taken it by now. */
  #judge(): void {
    this.#slow = undefined;
    // Destroying it is a hang-up like any other: the attempt is cancelled.
    if (this.#res.writableLength > this.#options.slowClientBytes) this.#res.destroy();
  }
}
