import type { Engine } from '../engine/engine.ts';
import { ApiError, engineBusy, internalError } from '../http/errors.ts';
import type { EventHook, EventStream } from '../http/exchange.ts';
import type { FaultName, FaultSet } from '../command-line/fault-set.ts';
import { logLine } from '../log.ts';

type Values = { -readonly [Name in FaultName]?: FaultSet[Name] | undefined };

/** The active faults and their effects. `command-line/fault-set.ts` describes each. */
export class Faults {
  readonly #engine: Engine;
  #active: Values;
  #sent = 0;
  #stepTimeout: NodeJS.Timeout | undefined;

  /** @param initial faults that are active from the start; those of the engine begin with the first call of `apply` */
  constructor(engine: Engine, initial: FaultSet) {
    this.#engine = engine;
    this.#active = { ...initial };
  }

  get current(): FaultSet {
    const set = Object.entries(this.#active).filter(([, value]) => value !== undefined);
    return Object.fromEntries(set);
  }

  get hangsOnSigterm(): boolean {
    return this.#active['sigterm-hang'] === true || this.#active['freeze-core'] === true;
  }

  get exitCode(): number {
    return this.#active['exit-code'] ?? 0;
  }

  /** Switches faults on and off; undefined means off. */
  change(changes: ReadonlyMap<FaultName, FaultSet[FaultName] | undefined>): void {
    this.#active = { ...this.#active, ...Object.fromEntries(changes) };
    this.#sent = 0;
    this.apply();
  }

  clear(): void {
    this.#active = {};
    this.apply();
  }

  /** Brings the engine into the state that the active faults describe. */
  apply(): void {
    const engine = this.#engine;
    const active = this.#active;
    clearTimeout(this.#stepTimeout);
    if (active.exit !== undefined) process.exit(active.exit);
    if (active['kill-core'] === true) engine.die();
    engine.scheduler.saturate(active.saturate === true);
    engine.scheduler.slowDown(active.slow ?? 1);
    const isFrozen = active['freeze-decode'] === true || active['freeze-core'] === true;
    if (!isFrozen) {
      if (engine.sleepLevel === 0) engine.scheduler.resume();
      return;
    }
    engine.scheduler.freeze();
    if (active['freeze-decode'] !== true) return;
    // vLLM's timeout runs only while a step is due, so it does not end an idle engine.
    const limitMs = engine.settings.stepTimeoutSeconds * 1000;
    const check = (): void => {
      if (engine.scheduler.inFlight === 0) {
        this.#stepTimeout = setTimeout(check, limitMs);
        return;
      }
      logLine('EngineCore', 'ERROR', 'multiproc_executor.py:380', 'TimeoutError: RPC call to execute_model timed out.');
      engine.die();
    };
    this.#stepTimeout = setTimeout(check, limitMs);
  }

  /** whether new requests get no answer */
  get isMute(): boolean {
    return this.#active.mute === true;
  }

  /** @throws ApiError if a fault refuses the request */
  onRequest(): void {
    if (this.#active.refuse === true && this.#spend()) throw engineBusy();
    if (this.#active['fail-requests'] === true && this.#spend()) throw internalError('simulated failure');
    const status = this.#active['answer-status'];
    if (status !== undefined && this.#spend()) throw new ApiError(status, 'Simulated', 'simulated refusal', null);
  }

  /** @returns the faults' effect on the events of the next stream; undefined for none, which is the fast path */
  onEvent(): EventHook | undefined {
    const active = this.#active;
    const isSpoilt = active['malformed-at'] !== undefined || spoiltAfter(active) < Infinity;
    if (!isSpoilt && active['crash-after'] === undefined && active['kill-core-after'] === undefined) return undefined;
    let events = 0;
    let isHit: boolean | undefined;
    return (text, stream) => {
      events += 1;
      this.#countAll();
      // Not at its begin: a stream that ends before its fault, such as a launcher's probe, would use up `times`.
      if (isSpoilt && this.#isDue(events)) isHit ??= this.#spend();
      return isHit === true ? this.#spoil(text, events, stream) : text;
    };
  }

  /** whether this event of a stream is one that a fault changes */
  #isDue(events: number): boolean {
    return this.#active['malformed-at'] === events || events > spoiltAfter(this.#active);
  }

  #spoil(text: string, events: number, stream: EventStream): string | undefined {
    const active = this.#active;
    if (active['malformed-at'] === events) return 'data: {"id":"chatcmpl-broken","choices":[{"ind\n\n';
    if (active['cut-after'] !== undefined && events > active['cut-after']) {
      stream.cut();
      return undefined;
    }
    if (active['hang-after'] !== undefined && events > active['hang-after']) {
      stream.silence();
      return undefined;
    }
    if (active['error-after'] === undefined || events <= active['error-after']) return text;
    if (events > active['error-after'] + 1) return undefined;
    setImmediate(() => stream.end());
    return `data: ${internalError('simulated failure').body()}\n\ndata: [DONE]\n\n`;
  }

  /** Counts events of all streams, for the faults that end the process. */
  #countAll(): void {
    const active = this.#active;
    this.#sent += 1;
    if (active['crash-after'] !== undefined && this.#sent > active['crash-after']) process.kill(process.pid, 'SIGKILL');
    const limit = active['kill-core-after'];
    // Later, because the scheduler's pass is iterating over its tasks.
    if (limit !== undefined && this.#sent === limit) setImmediate(() => this.#engine.die());
  }

  /** @returns whether a fault with `times` applies once more */
  #spend(): boolean {
    const { times } = this.#active;
    if (times === undefined) return true;
    if (times <= 0) return false;
    this.#active.times = times - 1;
    return true;
  }
}

/** How many events of a stream are as usual before a fault that affects all that follow; infinity without one. */
function spoiltAfter(active: Values): number {
  const { 'cut-after': cut = Infinity, 'hang-after': hang = Infinity, 'error-after': error = Infinity } = active;
  return Math.min(cut, hang, error);
}
