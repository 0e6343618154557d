import { z } from 'zod';
import type { EnginePath } from '#contract/job';
import type { Clock } from '#runtime/clock';
import { Failure, toFailure } from '../failure.ts';
import type { AnswerFilter } from './answer-filter.ts';
import type { ClientStream } from './client-stream.ts';
import type { Members } from './engine/event-watch.ts';
import { eventBytes, EventReader, parseJson } from './engine/sse.ts';
import { HeldEvents, type HeldEvent } from './held-events.ts';
import { PassingClient } from './passing-client.ts';
import { StreamEnding } from './stream-ending.ts';

/** Limit of what is held back of one stream, in bytes: more comes only from an engine that runs wild. */
const MOST_HELD_BYTES = 64 * 1024 * 1024;

const Event = z.looseObject({});

export interface HeldStreamOptions {
  readonly path: EnginePath;
  /** number of choices that were requested */
  readonly choices: number;
  readonly filter: AnswerFilter;
  /** events tell what the filter found */
  readonly isTold: boolean;
  /** fires when the client is gone */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** The rest of the answer is useless. @param why reaches the client, unless the answer has its end */
  readonly stop: (why: Failure) => void;
  /** the client gets its first event */
  readonly onFirst: () => void;
}

/**
 * A client that gets an engine's events late. A piece of text passes when the filter has judged it together with the
 * window after it, or with the rest of the answer. Each check begins a window before the first character that the client
 * does not have. So it never gets a part of a blocked term that is not longer than the window. Comments and the gateway's
 * own events pass immediately.
 */
export class HeldStream extends PassingClient {
  readonly #options: HeldStreamOptions;
  readonly #held: HeldEvents;
  readonly #ending: StreamEnding;
  #isChecking = false;
  #isEnded = false;
  #isOver = false;
  #isFirst = true;
  #lastWroteAt: number;
  #settle: { readonly resolve: () => void; readonly reject: (why: Failure) => void } | undefined;
  #failure: Failure | undefined;
  /** the filter blocked the answer, and the client has its end */
  isBlocked = false;

  constructor(client: ClientStream, options: HeldStreamOptions) {
    super(client);
    this.#options = options;
    this.#held = new HeldEvents(options.path, options.filter.windowCharacters);
    this.#ending = new StreamEnding(options);
    this.#lastWroteAt = options.clock();
  }

  /** for comments, which keep a stream open whose events are held back */
  get lastWroteAt(): number {
    return this.#lastWroteAt;
  }

  /** @param piece bytes: events of the engine; a string: what the gateway says itself */
  write(piece: Buffer | string): void {
    if (typeof piece === 'string') return this.#pass(piece);
    if (this.#isOver) return;
    for (const { name, data } of new EventReader().read(piece)) {
      const members = Event.safeParse(parseJson(data)).data;
      this.#held.add({ name, data: Buffer.from(data), members });
    }
    if (this.#held.bytes > MOST_HELD_BYTES)
      return this.#fail(new Failure('engine_failed', 'the model sent more than can be checked'));
    this.#look();
  }

  /** The engine's answer is complete. Waits until the client has what it may have. @throws Failure */
  settle(): Promise<void> {
    this.#isEnded = true;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (this.#failure !== undefined) reject(this.#failure);
      else if (this.#isOver) resolve();
      else this.#look();
    });
  }

  /** Nothing that is held back reaches the client any more. */
  drop(): void {
    this.#isOver = true;
    this.#settle?.resolve();
  }

  override giveUp(): void {
    this.#fail(new Failure('client_closed', 'the client does not read its answer'));
    super.giveUp();
  }

  /** Begins a check if enough text has come, or all of it. */
  #look(): void {
    if (this.#isChecking || this.#isOver) return;
    const isJudged = this.#options.filter.judge !== undefined;
    const due = isJudged ? this.#held.due(this.#isEnded) : undefined;
    if (due !== undefined) {
      this.#isChecking = true;
      this.#check(due).catch((cause: unknown) => this.#fail(toFailure(cause)));
      return;
    }
    if (this.#isEnded || !isJudged) this.#release(this.#held.all());
    if (this.#isEnded) {
      this.#isOver = true;
      this.#settle?.resolve();
    }
  }

  async #check(due: NonNullable<ReturnType<HeldEvents['due']>>): Promise<void> {
    const { filter, signal } = this.#options;
    const verdict = await filter.judge?.(due.texts, signal);
    this.#isChecking = false;
    if (this.#isOver) return;
    if (verdict !== undefined) this.#ending.verdicts.push(verdict);
    if (verdict?.isBlocked === true) return this.#block();
    this.#release(this.#held.cleared(due, this.#isEnded));
    this.#look();
  }

  #block(): void {
    const { filter, stop } = this.#options;
    this.#isOver = true;
    this.isBlocked = true;
    this.#release(this.#held.wordless());
    const rest = this.#held.all();
    for (const bytes of this.#ending.blocked(rest)) this.#pass(bytes);
    filter.blocked();
    stop(new Failure('client_closed', 'the content filter blocked the answer'));
    this.#settle?.resolve();
  }

  #fail(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = failure;
    this.#options.stop(failure);
    this.#settle?.reject(failure);
  }

  #release(events: readonly HeldEvent[]): void {
    for (const event of events) {
      const changed = this.#ending.released(event.members);
      this.#pass(eventBytes(changed === undefined ? event.data : bytesOf(changed), event.name));
    }
  }

  #pass(piece: Buffer | string): void {
    if (piece.length === 0) return;
    this.#lastWroteAt = this.#options.clock();
    if (typeof piece !== 'string' && this.#isFirst) {
      this.#isFirst = false;
      this.#options.onFirst();
      const opening = this.#ending.opening;
      if (opening !== undefined) this.client.write(eventBytes(bytesOf(opening)));
    }
    this.client.write(piece);
  }
}

function bytesOf(members: Members): Buffer {
  return Buffer.from(JSON.stringify(members));
}
