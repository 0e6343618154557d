import type { LiveView } from '#contract/console';
import { within } from '#runtime/lifecycle';
import { Failure } from '../../failure.ts';
import { liveQueues, liveView, unknownQueues, type LiveSources } from './live-view.ts';
import type { RecentRequests } from './recent-requests.ts';

const LOOK_EVERY_MS = 1_000;
/** A connection without an event for this long gets a comment, so that no proxy closes it, in ms. */
const COMMENT_AFTER_MS = 15_000;
/** A client that reads nothing for this long is disconnected, in ms. */
const UNREAD_MS = 60_000;
/** How long the view waits for Redis, in ms. */
const REDIS_PATIENCE_MS = 800;
/** Limits of connections of one gateway, and of one key there. */
const MOST_OPEN = 20;
const MOST_OF_KEY = 5;
const RETRY_MS = 10_000;

/** One connection that is shown what happens. */
export interface LiveReader {
  readonly keyId: string;
  /** it still has something to send */
  readonly isFull: () => boolean;
  readonly write: (text: string) => void;
  readonly end: () => void;
  readonly cut: () => void;
  /** whether its key still allows this */
  readonly isAllowed: () => Promise<boolean>;
}

interface Open {
  readonly reader: LiveReader;
  /** number of the first request that it has not got */
  next: number;
  /** the facts that it has, as JSON */
  view: string;
  wroteAt: number;
}

/** Sends all open connections what changes, once a second. It reads the queues once for all, and never without a reader. */
export class LiveFeed {
  readonly #sources: LiveSources;
  readonly #recent: RecentRequests;
  readonly #open = new Set<Open>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #reading: Promise<void> | undefined;
  #queues: LiveView['queues'];

  constructor(sources: LiveSources, recent: RecentRequests) {
    this.#sources = sources;
    this.#recent = recent;
    this.#queues = unknownQueues(sources);
  }

  /**
   * @returns a function that forgets the connection
   * @throws Failure `rate_limit_exceeded` if too many are open, `shutting_down`
   */
  open(reader: LiveReader): () => void {
    if (this.#sources.stage() !== 'serving')
      throw new Failure('shutting_down', 'this gateway is shutting down; try again');
    const ofKey = [...this.#open].filter((one) => one.reader.keyId === reader.keyId).length;
    if (this.#open.size >= MOST_OPEN) throw tooMany('this gateway', this.#open.size, MOST_OPEN);
    if (ofKey >= MOST_OF_KEY) throw tooMany(`the key ${reader.keyId}`, ofKey, MOST_OF_KEY);
    const open = { reader, next: 0, view: '', wroteAt: performance.now() };
    this.#open.add(open);
    this.#timer ??= setInterval(() => void this.#look(), LOOK_EVERY_MS).unref();
    void this.#look();
    return () => {
      this.#open.delete(open);
      if (this.#open.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#readQueues();
      const facts = await liveView(this.#sources, this.#queues);
      const view = JSON.stringify(facts);
      const isLeaving = facts.stage !== 'serving';
      await Promise.all(
        [...this.#open].map(async (open) => {
          const isOver = isLeaving || !(await open.reader.isAllowed());
          if (!isOver) return this.#tell(open, facts, view);
          this.#open.delete(open);
          open.reader.end();
        }),
      );
    } finally {
      this.#isLooking = false;
    }
  }

  /** While Redis is silent, its part is unknown and the rest is shown. */
  async #readQueues(): Promise<void> {
    this.#reading ??= liveQueues(this.#sources)
      .then((queues) => {
        this.#queues = queues;
      })
      .finally(() => {
        this.#reading = undefined;
      });
    if (!(await within(REDIS_PATIENCE_MS, this.#reading))) this.#queues = unknownQueues(this.#sources);
  }

  #tell(open: Open, facts: Omit<LiveView, 'requests'>, view: string): void {
    const { reader } = open;
    const now = performance.now();
    if (reader.isFull()) {
      if (now - open.wroteAt >= UNREAD_MS) reader.cut();
      return;
    }
    const requests = this.#recent.since(open.next);
    open.next = this.#recent.count;
    if (view !== open.view || requests.length > 0) {
      open.view = view;
      open.wroteAt = now;
      reader.write(`data: ${JSON.stringify({ ...facts, requests } satisfies LiveView)}\n\n`);
    } else if (now - open.wroteAt >= COMMENT_AFTER_MS) {
      open.wroteAt = now;
      reader.write(': nothing new\n\n');
    }
  }
}

function tooMany(whose: string, asked: number, allowed: number): Failure {
  const message = `${whose} has ${asked} live views open, and ${allowed} are allowed; close one`;
  return new Failure('rate_limit_exceeded', message, { asked: asked + 1, allowed, retryAfterMs: RETRY_MS });
}
