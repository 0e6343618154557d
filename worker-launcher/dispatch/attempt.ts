import { z } from 'zod';
import { saysEngineGone } from '#contract/engine-gone';
import type { AttemptError, Claimed, FrameType, Head } from '#contract/frame';
import { BODY_GRACE_MS, type JobV1, type Token } from '#contract/job';
import { readJson } from '#contract/read-json';
import { streamFromEngine, type EngineStream } from '../engine/stream.ts';
import type { Slot } from './engine-slots.ts';
import type { Waiting } from './first-bytes.ts';
import type { Publisher } from './publisher.ts';

/** A repeated pickup waits this long for the gateway's `go`, in milliseconds. */
const GO_LIMIT_MS = 3_000;

/** Redis' PTTL of a key that is gone, and of one that does not lapse. */
const GONE = -2;
const NO_LIFE_SPAN = -1;

export type AttemptOutcome = 'answered' | 'failed' | 'cancelled' | 'hand_back';

/** What a pickup reads of its body: the engine's request and the milliseconds until the key lapses. */
interface StoredBody {
  readonly bytes: Buffer | null;
  readonly ttlMs: number;
}

export interface AttemptDeps {
  readonly publisher: Publisher;
  readonly readBody: (job: JobV1) => Promise<StoredBody>;
  /** whether the replica's reply stream still exists */
  readonly leaseAlive: (replica: string) => Promise<boolean>;
  /** an answer is whole, or failed: with an error status at its start, or an error event at its end */
  readonly onAnswer: (engine: string, status: number) => void;
  /** the engine refused or reset a connection, or said that it is going */
  readonly onSuspect: (engine: string) => void;
}

/** How an answer ends; its last event may be in two pieces. */
interface LastBytes {
  status: number;
  before: Buffer;
  chunk: Buffer;
}

/** One pickup of one job: claimed, let go, sent to an engine, its bytes written back under one fencing token. */
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
  /** an engine has it and has not given a byte of its answer */
  #unheard = false;
  #waiting: Waiting | undefined;

  constructor(deps: AttemptDeps, job: JobV1, token: Token, slot: Slot) {
    this.#deps = deps;
    this.job = job;
    this.token = token;
    this.#slot = slot;
  }

  /** The gateway let this pickup start. */
  go(): void {
    this.#onGo();
  }

  /** Ends it in any phase; nothing more is written. */
  cancel(): void {
    this.#cancelled = true;
    this.#onCancel();
  }

  /** Its answer could not be written just now: one that no engine has yet goes back to the queue. */
  handBack(): void {
    this.#onHandBack();
  }

  /** Its engine answers nobody: if it has given nothing, or nothing for so long, another one is to go on. */
  relieve(engine: string, stuckMs: number): void {
    if (this.#slot.engine !== engine) return;
    if (this.#unheard || (this.#waiting?.stuckMs ?? 0) >= stuckMs)
      this.fail('worker_lost', 'its engine answered nobody');
  }

  /** The replica reads too late: the engine is held back, or goes on. */
  holdBack(held: boolean): void {
    this.#waiting?.holdBack(held);
    if (held) this.#stream?.pause();
    else this.#stream?.resume();
  }

  /** Ends it and tells the replica why. */
  fail(reason: AttemptError['reason'], message: string): void {
    if (this.#cancelled) return;
    this.#sendJson('error', { reason, message } satisfies AttemptError);
    this.cancel();
  }

  /** Runs to the end; never throws for what an engine or a gateway did. */
  async run(): Promise<AttemptOutcome> {
    const releaseReplica = this.#deps.publisher.retain(this.job.replica);
    try {
      const repeat = this.token.epoch > 1 || this.token.attempt > 1;
      this.#sendJson('claimed', { engine: this.#slot.engine, waits: repeat } satisfies Claimed);
      const reading = this.#deps.readBody(this.job);
      // Whoever waits for it gets the reason; one that was handed back does not.
      reading.catch(() => {});
      if (repeat && !(await this.#letGo())) {
        await reading;
        if (this.#cancelled) return 'cancelled';
        return (await this.#deps.leaseAlive(this.job.replica)) ? 'hand_back' : 'failed';
      }
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
      // Empty: it was held open by the gateway's reservation, and what belongs there came too late.
      if (body.bytes === null || body.bytes.length === 0 || body.ttlMs === GONE)
        return this.#failed('body_lost', 'the request body is no longer stored');
      const leftMs = body.ttlMs === NO_LIFE_SPAN ? this.job.deadlineMs : body.ttlMs - BODY_GRACE_MS;
      if (leftMs <= 0) return this.#failed('expired', 'the deadline passed in the queue');
      return await this.#askEngine(body.bytes, leftMs);
    } finally {
      releaseReplica();
    }
  }

  async #letGo(): Promise<boolean> {
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
      const request = { path: this.job.path, body, requestId: `${this.job.requestId}-${this.#tokenText()}` };
      const last: LastBytes = { status: 0, before: Buffer.alloc(0), chunk: Buffer.alloc(0) };
      const waiting = this.#slot.begin(body.length);
      this.#waiting = waiting;
      this.#unheard = true;
      const stream = streamFromEngine(this.#slot.pool, request, {
        head: (status, contentType) => {
          last.status = status;
          this.#sendJson('head', { status, contentType } satisfies Head);
        },
        data: (chunk) => {
          waiting.heard();
          this.#unheard = false;
          last.before = last.chunk;
          last.chunk = chunk;
          this.#send('data', chunk);
        },
        end: () => {
          // First, so that what the gateway repeats finds another engine.
          this.#deps.onAnswer(this.#slot.engine, statusOf(last));
          if (tellsOfItsEnd(last)) this.#deps.onSuspect(this.#slot.engine);
          this.#send('end', Buffer.alloc(0));
          finish('answered');
        },
        failed: (cause, hadIt) => {
          // vLLM breaks off a stream of this route where it refuses the request: no sign against the engine.
          const refuses = this.job.path === '/v1/responses' && last.status === 200;
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
    this.#sendJson('error', { reason, message, ...(died ? { died } : {}) } satisfies AttemptError);
    return 'failed';
  }

  #sendJson(type: FrameType, value: object): void {
    this.#send(type, Buffer.from(JSON.stringify(value)));
  }

  #send(type: FrameType, payload: Buffer): void {
    if (this.#cancelled) return;
    const { requestId, replica } = this.job;
    this.#deps.publisher.send(replica, { type, requestId, ...this.token, payload });
  }
}

const ErrorEvent = z.object({ error: z.object({ code: z.int().catch(500) }) });

/** The status of the answer, or what the error event at the end of its stream stands for. */
function statusOf({ status, before, chunk }: LastBytes): number {
  if (status >= 400) return status;
  const end = Buffer.concat([before, chunk]);
  const from = end.lastIndexOf(ERROR_EVENT);
  if (from < 0) return status;
  const line = end.toString('utf8', from + 'data: '.length).split('\n', 1)[0] ?? '';
  return readJson(ErrorEvent, line)?.error.code ?? 500;
}

/** Stands in no answer's text: its quotes would be escaped. */
const ERROR_EVENT = 'data: {"error"';

/** An error status, or an error event at the end of a stream, by which this engine says that it can answer nobody. */
function tellsOfItsEnd({ status, before, chunk }: LastBytes): boolean {
  const end = Buffer.concat([before, chunk]);
  const from = status >= 500 ? 0 : end.lastIndexOf(ERROR_EVENT);
  return from >= 0 && saysEngineGone(end.toString('utf8', from));
}
