import type { Failure } from '../failure.ts';
import type { Usage } from '../request/chat.ts';
import type { Head } from '#contract/frame';
import type { Clock } from '#runtime/clock';
import type { ClientStream } from './client-stream.ts';
import type { Continuation, StreamSeam } from './continuation.ts';
import { followOn } from './delivered.ts';
import type { EmptyEvents } from './empty-events.ts';
import type { EngineAnswer } from './engine/answer.ts';
import type { EventWatch } from './engine/event-watch.ts';
import { engineFailure, unfinished } from './engine/failure.ts';
import type { QueuedResponse } from './queued-response.ts';
import type { QueueNews } from './queue-news.ts';
import { PROBED } from './refusal-probe.ts';
import type { LoggedReply, Resume } from './reply.ts';

/** A refusal of an engine is one sentence; reading stops at this length. */
const REFUSAL_LIMIT_BYTES = 1024 * 1024;

/** How long a client may be over the limit, in milliseconds. */
const SLOW_MS = 250;

export interface StreamReplyOptions {
  readonly answer: EngineAnswer;
  /** path of the messages in the caller's body, for the error about a prompt that is too long */
  readonly messagesParam: string;
  /** the caller requested the closing usage event */
  readonly passUsage: boolean;
  /** decides whether and how the stream goes on when its engine is lost */
  readonly continuation: Pick<Continuation, 'add' | 'decide' | 'release'>;
  /** replace comments */
  readonly emptyEvents?: EmptyEvents;
  /** what comments say about the wait */
  readonly news?: QueueNews;
  /** events that come before the first of these comments */
  readonly queued?: QueuedResponse;
  /** silence before each comment, in ms; the first one sends the headers, so that earlier failures keep their status */
  readonly keepAliveMs: number;
  /** limit of unsent bytes: a client above it does not read and is disconnected */
  readonly slowClientBytes: number;
  readonly clock: Clock;
  readonly onFirstByte: () => void;
}

/** Writes a streamed answer to its client, event by event. */
export class StreamReply implements LoggedReply {
  #events: EventWatch;
  readonly #client: ClientStream;
  readonly #options: StreamReplyOptions;
  #keepAlive: NodeJS.Timeout;
  #lastWriteAt: number;
  #status = 0;
  #errorBody: Buffer[] = [];
  #errorBytes = 0;
  #bytes = 0;
  /** bytes of the longest write */
  #longest = 0;
  #sawData = false;
  #slow: NodeJS.Timeout | undefined;

  constructor(client: ClientStream, options: StreamReplyOptions) {
    this.#client = client;
    this.#options = options;
    this.#events = options.answer.events(options.passUsage, options.emptyEvents?.join);
    this.#lastWriteAt = options.clock();
    options.news?.begin((comment) => this.#write(this.#opening() + comment));
    this.#keepAlive = setTimeout(() => this.#keepOpen(), this.#restMs);
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
      // The headers left before the wait was known.
      if (this.#client.isBegun) this.#write(this.#options.news?.waited ?? '');
    }
    this.#options.continuation.add(bytes);
    this.#options.emptyEvents?.saw(bytes);
    this.#write(bytes);
    return broken;
  }

  end(): Failure | undefined {
    if (this.#status !== 200)
      return engineFailure(this.#status, Buffer.concat(this.#errorBody), this.#options.messagesParam);
    return this.#saidBroken() ?? (this.#events.done ? undefined : unfinished('the stream ended without its end mark'));
  }

  /** The client has the end mark, so the engine no longer matters. */
  get isWhole(): boolean {
    return this.#events.done;
  }

  #saidBroken(): Failure | undefined {
    const { refusal, failure } = this.#events;
    if (refusal !== undefined) return engineFailure(refusal.status, refusal.body, this.#options.messagesParam);
    return failure;
  }

  async resume(original: Buffer): Promise<Resume> {
    const { passUsage, continuation } = this.#options;
    const next = await continuation.decide(original, {
      isBegun: this.#sawData,
      isReported: this.#events.failure?.code === 'engine_failed',
      isFinished: this.#events.isFinished,
      owesUsage: passUsage && this.#events.usage === undefined,
    });
    switch (next.kind) {
      case 'again':
      case 'probe':
        return { kind: 'ask', body: next.body, seam: this.follow({ kind: next.kind }) };
      case 'rest': {
        const { body, delivered, first } = next;
        return { kind: 'ask', body, delivered, seam: this.follow({ kind: 'rest', delivered, ...first }) };
      }
      case 'close':
        return { kind: 'whole', seam: this.follow({ kind: 'close', ending: next.ending.toString() }) };
      case 'impossible':
        return { kind: 'impossible' };
      default:
        return next satisfies never;
    }
  }

  /** From now on the events of a further epoch arrive. @returns the seam */
  follow(seam: StreamSeam): StreamSeam {
    if (seam.kind === 'close') {
      // Bytes, as all events of an answer are: their order matters.
      this.#write(Buffer.from(seam.ending));
      return seam;
    }
    this.#errorBody = [];
    this.#errorBytes = 0;
    this.#status = 0;
    const { answer, passUsage, emptyEvents, queued } = this.#options;
    if (seam.kind === 'probe') this.#events = PROBED;
    else {
      const before = emptyEvents?.join ?? queued?.join;
      this.#events = answer.events(passUsage, seam.kind === 'rest' ? followOn(seam, seam.delivered) : before);
    }
    return seam;
  }

  /** Writes the events that say that the request waits, if the API has any. */
  open(): void {
    this.#write(this.#opening());
  }

  /** the client has a part of the answer */
  get hasData(): boolean {
    return this.#sawData;
  }

  get usage(): Usage | undefined {
    return this.#events.usage;
  }

  /** events that the client has, if the API numbers them */
  get passed(): number {
    return (this.#events.passed ?? 0) + (this.#options.queued?.passed ?? 0);
  }

  /** Stops the keep-alive. Call it when the request is over, however it ended. */
  close(): void {
    clearTimeout(this.#slow);
    clearTimeout(this.#keepAlive);
    this.#options.news?.end();
    this.#options.continuation.release();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Waits for exactly the rest of the silence: a check at fixed intervals would be late by up to one interval. */
  #keepOpen(): void {
    if (this.#client.isGone) return;
    if (this.#silentMs >= this.#pauseMs) this.#write(this.#nothing());
    this.#keepAlive = setTimeout(() => this.#keepOpen(), this.#restMs);
  }

  get #silentMs(): number {
    return this.#options.clock() - (this.#client.lastWroteAt ?? this.#lastWriteAt);
  }

  /** silence before the next comment, in ms */
  get #pauseMs(): number {
    const { keepAliveMs, news } = this.#options;
    return news !== undefined && this.#client.isBegun ? Math.min(keepAliveMs, news.pauseMs) : keepAliveMs;
  }

  /** time until the next comment, in ms, or until the position for it is read */
  get #restMs(): number {
    const restMs = Math.max(1, this.#pauseMs - this.#silentMs);
    return this.#options.news?.prepare(restMs) ?? restMs;
  }

  /** An event or comment without content that keeps the connection open. */
  #nothing(): string {
    const { emptyEvents, news } = this.#options;
    if (emptyEvents === undefined) {
      const comment = news?.comment;
      return comment === undefined ? ': keep-alive\n\n' : this.#opening() + comment;
    }
    const event = emptyEvents.next();
    if (!this.#sawData) this.#events.joinBy?.(emptyEvents.join);
    return event;
  }

  /** Events that say that the request waits; empty after the first call, and on most routes. */
  #opening(): string {
    const { queued } = this.#options;
    const events = queued?.open() ?? '';
    if (events !== '') this.#events.joinBy?.(queued?.join);
    return events;
  }

  #write(bytes: Buffer | string): void {
    const client = this.#client;
    if (client.isGone || bytes.length === 0) return;
    this.#lastWriteAt = this.#options.clock();
    this.#bytes += bytes.length;
    client.write(bytes);
    // The last event of a response may be many times longer than the limit.
    this.#longest = Math.max(this.#longest, bytes.length);
    if (this.#isSlow) this.#slow ??= setTimeout(() => this.#judge(), SLOW_MS);
  }

  /** Many bytes may arrive in one moment; a client that reads has taken them by now. */
  #judge(): void {
    this.#slow = undefined;
    // This counts as a disconnect: the attempt is cancelled.
    if (this.#isSlow) this.#client.giveUp();
  }

  get #isSlow(): boolean {
    const { slowClientBytes } = this.#options;
    const allowed = this.#longest > slowClientBytes ? slowClientBytes + this.#longest : slowClientBytes;
    return this.#client.unsentBytes > allowed;
  }
}
