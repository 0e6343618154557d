import type { Response } from 'express';
import type { Failure } from '#contract/failure';
import type { Usage } from '#contract/chat';
import type { Head } from '#contract/frame';
import type { Clock } from '#runtime/clock';
import type { AnswerForm } from '../relay/answer-form.ts';
import type { Reply, Resume } from '../ask.ts';
import { closingEvent, joinEvent, planContinuation, readDelivered, type Delivered } from '../relay/continuation.ts';
import { brokenStream, engineFailure } from '../relay/engine-failure.ts';
import type { EventWatch } from '../relay/event-watch.ts';
import type { SentBytes } from '../relay/sent-bytes.ts';

/** Written as the stream goes; nginx would otherwise collect it (`x-accel-buffering`). */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;

/** How long a client may be over the limit, in milliseconds. */
const SLOW_MS = 250;

export interface StreamReplyOptions {
  readonly form: AnswerForm;
  /** where the caller wrote the messages, for what is said of a prompt that is too long */
  readonly messagesParam: string;
  readonly passUsage: boolean;
  /** the name that answers carry */
  readonly model: string;
  /** keeps what was sent, for a continuation; or why this request is never continued */
  readonly sent: SentBytes | string;
  /** how a stream whose engine was lost went on: `continued`, `closed`, or the reason why not */
  readonly onContinuation: (outcome: string) => void;
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
  #bytes = 0;
  #sawData = false;
  #slow: NodeJS.Timeout | undefined;
  /** length of what was sent when the stream was continued */
  #joinedAt: number | undefined;

  constructor(res: Response, options: StreamReplyOptions) {
    this.#res = res;
    this.#options = options;
    this.#events = options.form.events(options.passUsage);
    this.#lastWriteAt = options.clock();
    this.#keepAlive = setTimeout(() => this.#keepOpen(), options.keepAliveMs);
  }

  head(head: Head): void {
    this.#status = head.status;
  }

  data(chunk: Buffer): Failure | undefined {
    if (this.#status !== 200) {
      this.#errorBody.push(chunk);
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
    this.#write(bytes);
    return broken;
  }

  end(): Failure | undefined {
    if (this.#status !== 200)
      return engineFailure(this.#status, Buffer.concat(this.#errorBody), this.#options.messagesParam);
    return this.#saidBroken() ?? (this.#events.done ? undefined : brokenStream(undefined));
  }

  #saidBroken(): Failure | undefined {
    const { refusal, error } = this.#events;
    if (refusal !== undefined) return engineFailure(refusal.status, refusal.body, this.#options.messagesParam);
    return error === undefined ? undefined : brokenStream(error);
  }

  resume(original: Buffer): Resume {
    this.#errorBody = [];
    this.#status = 0;
    if (!this.#sawData) {
      this.#events = this.#options.form.events(this.#options.passUsage);
      return { kind: 'again' };
    }
    const plan = this.#plan(original);
    this.#options.onContinuation(
      plan.kind === 'impossible' ? plan.reason : plan.kind === 'whole' ? 'closed' : 'continued',
    );
    return plan;
  }

  #plan(original: Buffer): Resume {
    const { sent, model, passUsage } = this.#options;
    if (typeof sent === 'string') return { kind: 'impossible', reason: sent };
    const bytes = sent.read();
    // A second life that brought nothing (its engine was just dying) leaves all as it was.
    if (this.#joinedAt !== undefined && bytes?.length !== this.#joinedAt)
      return { kind: 'impossible', reason: 'second_loss' };
    const delivered = bytes === undefined ? undefined : readDelivered(bytes);
    if (delivered === undefined) return { kind: 'impossible', reason: 'too_long' };
    const plan = planContinuation(original, delivered);
    switch (plan.kind) {
      case 'refused':
        return { kind: 'impossible', reason: plan.reason };
      case 'close':
        // How long the prompt was is known to the lost engine alone.
        if (passUsage) return { kind: 'impossible', reason: 'usage_unknown' };
        this.#write((delivered.finished ? '' : closingEvent(delivered, model)) + 'data: [DONE]\n\n');
        return { kind: 'whole' };
      case 'again':
        this.#joinTo({ ...delivered, tokens: 0 });
        return { kind: 'again' };
      case 'continue':
        this.#joinTo(delivered);
        return plan;
      default:
        return plan satisfies never;
    }
  }

  #joinTo(delivered: Delivered): void {
    const { sent, form, passUsage } = this.#options;
    this.#joinedAt = typeof sent === 'string' ? undefined : sent.read()?.length;
    this.#events = form.events(passUsage, (event) => joinEvent(event, delivered));
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
    if (clock() - this.#lastWriteAt >= keepAliveMs) this.#write(': keep-alive\n\n');
    const restMs = this.#lastWriteAt + keepAliveMs - clock();
    this.#keepAlive = setTimeout(() => this.#keepOpen(), Math.max(1, restMs));
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
