import { AttemptError, Claimed, Head, parsePayload, type Frame } from '#contract/frame';
import { sameToken, type EnginePath, type Token } from '#contract/job';
import { StreamedTokens } from '#contract/streamed-tokens';
import { Failure } from '../failure.ts';

/** The facts about an open request that the relay needs, and its callbacks. */
export interface OpenRequest {
  readonly requestId: string;
  readonly model: string;
  readonly path: EnginePath;
  /** longest silence after the first bytes, in milliseconds */
  readonly idleMs: number;
  /** instant (clock of this process, ms) at which the client gets a timeout */
  readonly deadlineAt: number;
  /** an attempt was cleared to start: the request no longer waits */
  readonly onClaimed: () => void;
  /**
   * An engine has it, under a name of its present life; a repeated pickup names another.
   * @param span the `traceparent` of the attempt, if it is traced
   */
  readonly onTaken: (engine: string, token: Token, span: string | undefined) => void;
  /** the first bytes of the accepted attempt follow */
  readonly onHead: (head: Head) => void;
  readonly onData: (chunk: Buffer) => void;
  /** the attempt is over: with the engine's last byte, or with a failure. Once per epoch */
  readonly onOver: (failure: Failure | undefined) => void;
  /** the dispatcher of a running attempt is gone, so it cannot tell what it used; perhaps more than once */
  readonly onGone: (seen: Seen) => void;
}

/** A running attempt, as far as its frames show it. */
export interface Seen {
  readonly token: Token;
  /** since it was claimed */
  readonly ageMs: number;
  /** tokens of its stream that arrived */
  readonly tokens: number;
}

/** What the relay must do after a frame. */
export type Reaction =
  | { readonly kind: 'none' }
  | { readonly kind: 'go'; readonly token: Token }
  | { readonly kind: 'cancel'; readonly token: Token; readonly dispatcher: string };

const NONE: Reaction = { kind: 'none' };

/**
 * One open request and its fence. It takes frames of one token at a time, the one that it cleared to start. It binds to
 * it at the first `data` frame, not at `head`, because vLLM sends 200 and headers while the request is still queued.
 */
export class Exchange {
  readonly request: OpenRequest;
  #epoch: number;
  #accepted: { token: Token; dispatcher: string } | undefined;
  #head: Head | undefined;
  #bound = false;
  #over = false;
  #lastDataAt = 0;
  #claimedAt = 0;
  #streamed = new StreamedTokens();

  constructor(request: OpenRequest, epoch = 1) {
    this.request = request;
    this.#epoch = epoch;
  }

  get epoch(): number {
    return this.#epoch;
  }
  /** This epoch's attempt has ended. */
  get isOver(): boolean {
    return this.#over;
  }

  /** The dispatcher and token that answer, if any do. */
  get accepted(): { token: Token; dispatcher: string } | undefined {
    return this.#over ? undefined : this.#accepted;
  }

  /** The attempt that answers, if any does. */
  seen(now: number): Seen | undefined {
    const token = this.accepted?.token;
    const ageMs = now - this.#claimedAt;
    return token === undefined ? undefined : { token, ageMs, tokens: this.#streamed.of(this.request.path) };
  }

  /** Milliseconds since the last bytes; 0 before the first. */
  silenceMs(now: number): number {
    return this.#bound && !this.#over ? now - this.#lastDataAt : 0;
  }

  /** Ends this epoch's attempt, once. */
  end(failure: Failure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.request.onOver(failure);
  }

  /** Begins the next epoch: frames of the former one are rejected from now on. @returns its number */
  reopen(): number {
    this.#epoch += 1;
    this.#accepted = undefined;
    this.#head = undefined;
    this.#bound = false;
    this.#over = false;
    return this.#epoch;
  }

  /**
   * @throws ZodError or SyntaxError for a payload that does not fit its frame, and errors of the request's handlers.
   * Only this attempt is lost then
   */
  take(dispatcher: string, frame: Frame, now: number): Reaction {
    const token = { epoch: frame.epoch, attempt: frame.attempt };
    if (frame.type === 'claimed') return this.#claimed(dispatcher, token, frame, now);
    if (this.#over || this.#accepted === undefined || !sameToken(this.#accepted.token, token))
      return frame.type === 'end' || frame.type === 'error' ? NONE : { kind: 'cancel', token, dispatcher };
    switch (frame.type) {
      case 'head':
        this.#head = parsePayload(Head, frame.payload);
        return NONE;
      case 'data':
        this.#bind();
        this.#lastDataAt = now;
        if (this.#isStream) this.#streamed.add(frame.payload);
        this.request.onData(frame.payload);
        return NONE;
      case 'end':
        this.#bind();
        this.end(undefined);
        return NONE;
      case 'error':
        this.end(failureOf(parsePayload(AttemptError, frame.payload)));
        return NONE;
      case 'heartbeat':
      case 'logged':
        return NONE;
      default:
        return frame.type satisfies never;
    }
  }

  #bind(): void {
    if (this.#bound) return;
    this.#bound = true;
    if (this.#head !== undefined) this.request.onHead(this.#head);
  }

  get #isStream(): boolean {
    return this.#head?.contentType.startsWith('text/event-stream') === true;
  }

  #claimed(dispatcher: string, token: Token, frame: Frame, now: number): Reaction {
    const before = this.#accepted;
    // A superseded epoch, or a repeat of an attempt that already answers, must not run.
    if (token.epoch < this.#epoch || this.#bound || this.#over) return { kind: 'cancel', token, dispatcher };
    // An earlier pickup that was handed back: its frame arrived late.
    if (before?.token.epoch === token.epoch && token.attempt < before.token.attempt)
      return { kind: 'cancel', token, dispatcher };
    const { engine, waits, span } = parsePayload(Claimed, frame.payload);
    this.#accepted = { token, dispatcher };
    this.#head = undefined;
    this.#claimedAt = now;
    this.#streamed = new StreamedTokens();
    this.request.onTaken(`${dispatcher}/${engine}`, token, span);
    if (before === undefined) this.request.onClaimed();
    return waits ? { kind: 'go', token } : NONE;
  }
}

function failureOf(error: AttemptError): Failure {
  switch (error.reason) {
    case 'expired':
      return new Failure('deadline_exceeded', 'the answer was not complete within the time allowed');
    case 'body_lost':
      return new Failure('body_lost', 'Redis lost the request while it waited; send it again', {
        cause: error.message,
      });
    case 'oversized':
      return new Failure(
        'answer_too_long',
        'the answer is longer than the gateway keeps; ask for a shorter one, or without idempotency key, store and background',
        { cause: error.message },
      );
    case 'worker_lost':
      return new Failure('worker_lost', 'the model process did not finish its answer', {
        cause: error.message,
        engineDied: error.died === true,
      });
    default:
      return error.reason satisfies never;
  }
}
