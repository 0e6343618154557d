import type { Control } from '#contract/control';
import { Failure } from '../failure.ts';
import type { Frame } from '#contract/frame';
import { redisKeys } from '#contract/redis-keys';
import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import type { RedisClient } from '#runtime/redis-client';
import { RedisCluster } from '#runtime/redis-cluster';
import { Exchange, type OpenRequest, type Reaction, type Seen } from './exchange.ts';
import { ReplyReader } from './reply-reader.ts';

const TICK_MS = 250;
/** A dispatcher silent for this long, in Redis time, is lost: three heartbeats. */
const SILENCE_LIMIT_MS = 3_500;
/** How often the sender of unwanted frames gets a `cancel` at most, in milliseconds. */
const CANCEL_EVERY_MS = 1_000;
/** So many requests in that time, at most. */
const MOST_TOLD = 10_000;
const CONTROL_TRIES = 50;
const CONTROL_PAUSE_MS = 40;
const NOBODY = 'no dispatcher listens';

export interface RelayDeps {
  readonly reader: RedisClient;
  readonly commands: RedisClient;
  /** publishes control messages; the Redis of queue and control */
  readonly control: RedisClient;
  readonly replica: string;
  readonly models: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Hands each open request its frames, in order, until end, failure, deadline or hang-up. */
export class Relay {
  readonly #deps: RelayDeps;
  readonly #reader: ReplyReader;
  readonly #open = new Map<string, Exchange>();
  readonly #toldToStop = new Map<string, number>();
  #onLogged: (model: string, dispatcher: string, frame: Frame) => void = () => {};
  #ticking: NodeJS.Timeout | undefined;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.#reader = new ReplyReader({
      ...deps,
      events: {
        frames: (model, dispatcher, frames) => {
          for (const frame of frames) this.#take(model, dispatcher, frame);
        },
        gap: (model, dispatcher) =>
          this.#failAll(model, (x) => x.accepted?.dispatcher === dispatcher, 'parts of the answer were lost'),
        // Waiting requests may have been claimed in frames that were lost: they begin a new epoch as well.
        leaseLost: (model) => this.#failAll(model, () => true, 'the gateway lost its reply stream'),
      },
    });
  }

  async start(): Promise<void> {
    await this.#reader.start();
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#ticking);
    await this.#reader.stop();
  }

  /** Delay with which replies are read, in milliseconds. */
  get lagMs(): number {
    return this.#reader.lagMs;
  }
  /** Whether replies reach this replica now. */
  get hears(): boolean {
    return this.#reader.hears;
  }
  get openCount(): number {
    return this.#open.size;
  }

  /** @param take gets the frames of durable answers, which are of the type `logged` */
  passLogged(take: (model: string, dispatcher: string, frame: Frame) => void): void {
    this.#onLogged = take;
  }

  /** Must be called before the job is added, because its first frame may arrive before the queue's own answer. */
  open(request: OpenRequest): void {
    this.#open.set(request.requestId, new Exchange(request));
  }

  /**
   * Begins the next epoch of a request whose attempt is over.
   * @returns the epoch of the job to add
   * @throws Error if the request is not open
   */
  reopen(requestId: string): number {
    const exchange = this.#open.get(requestId);
    if (exchange === undefined) throw new Error('not an open request');
    return exchange.reopen();
  }

  /** Gives up the present attempt of an open request and cancels it. */
  fail(requestId: string, failure: Failure): void {
    const exchange = this.#open.get(requestId);
    if (exchange !== undefined) this.#fail(exchange, failure);
  }

  /** Ends all open requests: the process cannot wait any longer. */
  endAll(): void {
    const failure = new Failure('shutting_down', 'this gateway had to stop before the answer was complete');
    for (const exchange of this.#open.values()) this.#fail(exchange, failure);
  }

  /** Forgets a request and stops its attempt. @returns that attempt, if one was running */
  close(requestId: string): Seen | undefined {
    const exchange = this.#open.get(requestId);
    this.#open.delete(requestId);
    const seen = exchange?.seen(this.#deps.clock());
    if (exchange !== undefined) this.#cancel(exchange);
    return seen;
  }

  #cancel(exchange: Exchange): void {
    const { request, accepted } = exchange;
    if (accepted === undefined) return;
    const message = { type: 'cancel', requestId: request.requestId, ...accepted.token } as const;
    this.#tell(accepted.dispatcher, message, this.#gone(exchange, accepted.dispatcher));
  }

  /** @returns reports the attempt as it is now, if its dispatcher is gone */
  #gone(exchange: Exchange, dispatcher: string): () => void {
    const seen = exchange.seen(this.#deps.clock());
    const silenceMs = this.#reader.silenceMs(exchange.request.model, dispatcher);
    return () => {
      if (seen !== undefined) exchange.request.onGone({ ...seen, ageMs: Math.max(0, seen.ageMs - silenceMs) });
    };
  }

  /** @param model of the stream that the frame is from: a frame about a request of another model is a stranger's */
  #take(model: string, dispatcher: string, frame: Frame): void {
    if (frame.type === 'heartbeat') return;
    if (frame.type === 'logged') return this.#onLogged(model, dispatcher, frame);
    const { requestId, epoch, attempt } = frame;
    const exchange = this.#open.get(requestId);
    if (exchange !== undefined && exchange.request.model !== model) return;
    const before = exchange?.accepted;
    const isOfAnother = frame.type !== 'claimed' && before !== undefined && before.dispatcher !== dispatcher;
    if (exchange === undefined || isOfAnother) {
      if (frame.type !== 'end' && frame.type !== 'error') this.#stop(dispatcher, { requestId, epoch, attempt });
      return;
    }
    const reaction = this.#react(exchange, dispatcher, frame);
    if (reaction.kind === 'cancel') this.#stop(dispatcher, { requestId, ...reaction.token });
    else if (reaction.kind === 'go') {
      if (before !== undefined) this.#tell(before.dispatcher, { type: 'cancel', requestId, ...before.token });
      this.#tell(dispatcher, { type: 'go', requestId, ...reaction.token });
    }
  }

  /** An error while a frame is processed fails only its own request. */
  #react(exchange: Exchange, dispatcher: string, frame: Frame): Reaction {
    const { requestId, type, epoch, attempt } = frame;
    try {
      return exchange.take(dispatcher, frame, this.#deps.clock());
    } catch (cause) {
      this.#deps.log.error({ cause, requestId, type }, 'a frame could not be processed');
      this.#fail(
        exchange,
        new Failure('worker_lost', 'a part of the answer could not be read', { cause: `frame ${type}` }),
      );
      return { kind: 'cancel', token: { epoch, attempt }, dispatcher };
    }
  }

  /** Cancels the attempt of frames that no request waits for. This also makes up for lost cancels. */
  #stop(dispatcher: string, what: Omit<Control, 'type'>): void {
    const now = this.#deps.clock();
    const last = this.#toldToStop.get(what.requestId);
    if (last !== undefined && now - last < CANCEL_EVERY_MS) return;
    if (last === undefined && this.#toldToStop.size >= MOST_TOLD) return;
    this.#toldToStop.set(what.requestId, now);
    this.#tell(dispatcher, { type: 'cancel', ...what });
  }

  /**
   * A reconnecting dispatcher receives nothing: the message is sent again until it arrives or time is up.
   * @param onGone no dispatcher received it
   */
  #tell(dispatcher: string, message: Control, onGone: () => void = () => {}, triesLeft = CONTROL_TRIES): void {
    const { control, log } = this.#deps;
    const again = (why: unknown): void => {
      if (triesLeft > 1) setTimeout(() => this.#tell(dispatcher, message, onGone, triesLeft - 1), CONTROL_PAUSE_MS);
      else {
        log.debug({ why, type: message.type }, 'control message not delivered');
        // The nodes of a cluster count their own listeners alone.
        if (why === NOBODY && !(control instanceof RedisCluster)) onGone();
      }
    };
    control.publish(redisKeys.control(dispatcher), JSON.stringify(message)).then((receivers) => {
      if (receivers === 0) again(NOBODY);
    }, again);
  }

  #tick(): void {
    const now = this.#deps.clock();
    for (const [id, at] of this.#toldToStop) if (now - at > CANCEL_EVERY_MS) this.#toldToStop.delete(id);
    for (const exchange of this.#open.values()) {
      const { request, accepted } = exchange;
      if (now >= request.deadlineAt)
        this.#fail(exchange, new Failure('deadline_exceeded', 'the answer was not complete within the time allowed'));
      else if (exchange.silenceMs(now) > request.idleMs)
        this.#fail(exchange, new Failure('engine_silent', `the model process was silent for ${request.idleMs} ms`));
      else if (
        accepted !== undefined &&
        this.#reader.silenceMs(request.model, accepted.dispatcher) > SILENCE_LIMIT_MS
      ) {
        this.#gone(exchange, accepted.dispatcher)();
        this.#fail(exchange, new Failure('worker_lost', 'the worker that held this request is gone'));
      }
    }
  }

  #failAll(model: string, which: (exchange: Exchange) => boolean, message: string): void {
    for (const exchange of this.#open.values())
      if (exchange.request.model === model && which(exchange))
        this.#fail(exchange, new Failure('worker_lost', message));
  }

  /** The attempt may still be running: it is cancelled, and its frames no longer count. */
  #fail(exchange: Exchange, failure: Failure): void {
    this.#cancel(exchange);
    exchange.end(failure);
  }
}
