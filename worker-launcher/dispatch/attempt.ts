import type { AttemptError, Claimed, Frame, FrameType, Head } from '#contract/frame';
import { BODY_GRACE_MS, type JobV1, type Token } from '#contract/job';
import type { AttemptUsage } from '#contract/usage';
import { streamFromEngine, type EngineStream } from '../engine/stream.ts';
import { AnswerEnd } from './answer-end.ts';
import type { AnswerLogs, LogLine } from './answer-logs.ts';
import type { AttemptSpans } from './attempt-spans.ts';
import type { Slot } from './engine-slots.ts';
import type { Waiting } from './first-bytes.ts';
import type { Publisher } from './publisher.ts';

/** A repeated pickup waits this long for the gateway's `go`, in milliseconds. */
const GO_LIMIT_MS = 3_000;

/** Redis' PTTL of a missing key, and of a key without a TTL. */
const GONE = -2;
const NO_LIFE_SPAN = -1;

export type AttemptOutcome = 'answered' | 'failed' | 'cancelled' | 'hand_back';

/** The stored request body: the engine's request and the milliseconds until the key expires. */
interface StoredBody {
  readonly bytes: Buffer | null;
  readonly ttlMs: number;
}

export interface AttemptDeps {
  readonly publisher: Publisher;
  readonly logs: AnswerLogs;
  readonly readBody: (job: JobV1) => Promise<StoredBody>;
  /** whether the replica's reply stream still exists */
  readonly leaseAlive: (replica: string) => Promise<boolean>;
  /** an answer is complete, or failed: with an error status at its start, or an error event at its end */
  readonly onAnswer: (engine: string, status: number) => void;
  /** the engine refused or reset a connection, or reported that it shuts down */
  readonly onSuspect: (engine: string) => void;
}

/** One pickup of one job: claimed, cleared to start, sent to an engine, its bytes written back under one fencing token. */
export class Attempt {
  readonly job: JobV1;
  readonly token: Token;
  readonly #deps: AttemptDeps;
  readonly #slot: Slot;
  #onGo: () => void = () => {};
  #onCancel: () => void = () => {};
  #cancelled = false;
  #onHandBack: () => void = () => {};
  #stream: EngineStream | undefined;
  /** an engine has it but has not sent a byte of its answer */
  #unheard = false;
  #waiting: Waiting | undefined;
  readonly #end = new AnswerEnd();
  /** of a durable answer */
  readonly #line: LogLine | undefined;
  #loggedBytes = 0;
  /** absent: it is not traced */
  readonly #spans: AttemptSpans | undefined;
  #failure: AttemptError['reason'] | undefined;
  /** since when it has used its slot, monotonic ms; a pickup that waits for `go` has no use yet */
  #usedSince = performance.now();

  constructor(deps: AttemptDeps, job: JobV1, token: Token, slot: Slot, spans?: AttemptSpans) {
    this.#deps = deps;
    this.job = job;
    this.token = token;
    this.#slot = slot;
    this.#spans = spans;
    if (job.durable !== undefined) this.#line = deps.logs.open(job, token);
  }

  /** The gateway cleared this pickup to start. */
  go(): void {
    this.#onGo();
  }

  /** Ends it in any phase; nothing more is written. */
  cancel(): void {
    this.#cancelled = true;
    this.#onCancel();
  }

  /** Answers cannot be written now: if no engine has the request yet, it returns to the queue. */
  handBack(): void {
    this.#onHandBack();
  }

  /** Its engine answers no request: if it sent no byte, or none for `stuckMs`, the request continues on another engine. */
  relieve(engine: string, stuckMs: number): void {
    if (this.#slot.engine !== engine) return;
    if (this.#unheard || (this.#waiting?.stuckMs ?? 0) >= stuckMs)
      this.fail('worker_lost', 'its engine answered no request');
  }

  /** The replica reads too late: pauses or resumes the engine's stream. */
  holdBack(held: boolean): void {
    this.#waiting?.holdBack(held);
    if (held) this.#stream?.pause();
    else this.#stream?.resume();
  }

  /** What it has used until now. @param isOver the engine ended its answer itself */
  used(isOver: boolean): AttemptUsage {
    const slotMs = Math.max(0, performance.now() - this.#usedSince);
    return { ...this.#end.tokens(this.job.path, isOver), picture: 0, slotMs };
  }

  /** Ends its spans. @param used what `used` returned */
  trace(outcome: AttemptOutcome, used: AttemptUsage): void {
    if (this.#spans === undefined) return;
    const { status, finishReasons } = this.#end;
    this.#spans.over({ outcome, status, failure: this.#failure, finishReasons, used });
  }

  /** Another dispatcher may take its job. The claim of a durable answer refuses that one, so this one goes on. */
  lockLost(): void {
    if (this.#line === undefined) this.fail('worker_lost', 'the lock of the job was lost');
  }

  /** Ends it and reports the reason to the replica. */
  fail(reason: AttemptError['reason'], message: string): void {
    if (this.#cancelled) return;
    this.#failure = reason;
    this.#sendJson('error', { reason, message } satisfies AttemptError);
    this.cancel();
  }

  /** Runs to the end; failures of an engine or gateway don't throw. */
  async run(): Promise<AttemptOutcome> {
    const releaseReplica = this.#line === undefined ? this.#deps.publisher.retain(this.job.replica) : (): void => {};
    try {
      const repeat = this.#line === undefined && (this.token.epoch > 1 || this.token.attempt > 1);
      const span = this.#spans === undefined ? {} : { span: this.#spans.place };
      const claimed = { engine: this.#slot.life, waits: repeat, ...span } satisfies Claimed;
      if (this.#line === undefined) this.#sendJson('claimed', claimed);
      else if (!(await this.#line.claim(this.#frame('claimed', Buffer.from(JSON.stringify(claimed))))))
        return 'cancelled';
      const reading = this.#deps.readBody(this.job);
      // An attempt that is handed back does not await the read, so its error must not be unhandled.
      reading.catch(() => {});
      if (repeat) this.#usedSince = Infinity;
      if (repeat && !(await this.#cleared())) {
        await reading;
        if (this.#cancelled) return 'cancelled';
        return (await this.#deps.leaseAlive(this.job.replica)) ? 'hand_back' : 'failed';
      }
      if (repeat) this.#usedSince = performance.now();
      const handedBack = new Promise<undefined>((resolve) => {
        this.#onHandBack = () => resolve(undefined);
      });
      const body = await Promise.race([reading, handedBack]);
      this.#onHandBack = () => {};
      if (this.#cancelled) return 'cancelled';
      if (body === undefined) {
        this.cancel();
        return 'hand_back';
      }
      // Empty: the gateway's reservation kept the key, but the body arrived too late to be stored.
      if (body.bytes === null || body.bytes.length === 0 || body.ttlMs === GONE)
        return this.#failed('body_lost', 'the request body is no longer stored');
      const leftMs = body.ttlMs === NO_LIFE_SPAN ? this.job.deadlineMs : body.ttlMs - BODY_GRACE_MS;
      if (leftMs <= 0) return this.#failed('expired', 'the deadline passed in the queue');
      return await this.#askEngine(body.bytes, leftMs);
    } finally {
      this.#line?.over();
      releaseReplica();
    }
  }

  async #cleared(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const answered = await new Promise<boolean>((resolve) => {
      this.#onGo = () => resolve(true);
      this.#onCancel = () => resolve(false);
      if (this.#cancelled) resolve(false);
      timer = setTimeout(() => resolve(false), GO_LIMIT_MS);
    });
    clearTimeout(timer);
    return answered;
  }

  #askEngine(body: Buffer, leftMs: number): Promise<AttemptOutcome> {
    return new Promise((resolve) => {
      const finish = (outcome: AttemptOutcome): void => {
        clearTimeout(deadline);
        waiting.over();
        resolve(outcome);
      };
      const deadline = setTimeout(() => this.fail('expired', 'the deadline passed on the engine'), leftMs);
      const trace = this.#spans?.called() ?? this.job.trace;
      const requestId = `${this.job.requestId}-${this.#tokenText()}`;
      const request = { path: this.job.path, body, requestId, trace };
      const waiting = this.#slot.begin(body.length);
      this.#waiting = waiting;
      this.#unheard = true;
      const stream = streamFromEngine(this.#slot.connections, request, {
        head: (status, contentType) => {
          this.#end.head(status, contentType);
          waiting.begun();
          this.#sendJson('head', { status, contentType } satisfies Head);
        },
        data: (chunk) => {
          waiting.heard();
          if (this.#unheard) this.#spans?.heard();
          this.#unheard = false;
          this.#end.add(chunk);
          this.#send('data', chunk);
        },
        end: () => {
          // Before `end`, so that a retry by the gateway finds another engine.
          this.#deps.onAnswer(this.#slot.engine, this.#end.status);
          if (this.#end.reportsItsEnd) this.#deps.onSuspect(this.#slot.engine);
          this.#send('end', Buffer.alloc(0));
          finish('answered');
        },
        failed: (cause, hadIt) => {
          // vLLM breaks off a stream of this route when it refuses the request, so the engine is not suspect.
          const refuses = this.job.path === '/v1/responses' && this.#end.isStream;
          if (!refuses) this.#deps.onSuspect(this.#slot.engine);
          finish(this.#failed('worker_lost', cause.message, hadIt && !refuses));
        },
      });
      this.#onCancel = () => {
        stream.abort();
        finish('cancelled');
      };
      this.#stream = stream;
      if (this.#cancelled) this.#onCancel();
    });
  }

  #tokenText(): string {
    return `${this.token.epoch}-${this.token.attempt}`;
  }

  #failed(reason: AttemptError['reason'], message: string, died = false): 'failed' {
    this.#failure = reason;
    this.#sendJson('error', { reason, message, ...(died ? { died } : {}) } satisfies AttemptError);
    return 'failed';
  }

  #sendJson(type: FrameType, value: object): void {
    this.#send(type, Buffer.from(JSON.stringify(value)));
  }

  #send(type: FrameType, payload: Buffer): void {
    if (this.#cancelled) return;
    const frame = this.#frame(type, payload);
    if (this.#line === undefined) this.#deps.publisher.send(this.job.replica, frame);
    else {
      this.#line.send(frame);
      this.#loggedBytes += payload.length;
      if (type === 'data' && this.#loggedBytes > (this.job.durable?.logBytes ?? Infinity))
        this.fail('oversized', 'the answer is longer than answers that are kept may be');
    }
  }

  #frame(type: FrameType, payload: Buffer): Frame {
    return { type, requestId: this.job.requestId, ...this.token, payload };
  }
}
