import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { Failure } from '../failure.ts';
import { FetchPlaces } from '../images/fetch/fetch-places.ts';
import { joined, PASSED, type Verdict } from '../request/content-filter.ts';
import { Unchecked, type Content, type Direction, type Provider, type UncheckedReason } from './provider.ts';

/** How a check ended. `unchecked`: the service failed, and the content passed. `left`: the client left first. */
export type CheckOutcome = 'passed' | 'blocked' | 'unchecked' | 'failed' | 'left';

/** Time between two log lines about a failing service, in ms. */
const LOG_EVERY_MS = 10_000;

export interface ContentSafetyOptions {
  readonly provider: Provider;
  readonly name: 'azure' | 'webhook';
  readonly directions: ReadonlySet<Direction>;
  /** what becomes of content that got no verdict */
  readonly onFailure: 'closed' | 'open';
  /** for one question, its wait for a free slot included, in ms */
  readonly timeoutMs: number;
  /** questions at a time in this replica, and of one key, so that others get a turn */
  readonly concurrency: number;
  readonly perKey: number;
  readonly windowCharacters: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly onCheck: (direction: Direction, outcome: CheckOutcome, seconds: number) => void;
  readonly onUnchecked: (direction: Direction, reason: UncheckedReason) => void;
}

/** For `/status`. */
export interface SafetyStatus {
  readonly provider: string;
  readonly onFailure: string;
  /** questions without a verdict since the start of this replica */
  readonly failures: number;
  /** the last one: when and why */
  readonly lastFailure: { readonly at: string; readonly reason: UncheckedReason } | null;
}

/** The filter of prompts and answers: asks the service, within limits, and decides what its failures mean. */
export class ContentSafety {
  readonly windowCharacters: number;
  readonly #options: ContentSafetyOptions;
  readonly #places: FetchPlaces;
  #failures = 0;
  #last: SafetyStatus['lastFailure'] = null;
  #loggedAt = -Infinity;
  #unlogged = 0;

  constructor(options: ContentSafetyOptions) {
    this.#options = options;
    this.windowCharacters = options.windowCharacters;
    const { concurrency: perReplica, perKey } = options;
    this.#places = new FetchPlaces({ perReplica, perKey });
  }

  checks(direction: Direction): boolean {
    return this.#options.directions.has(direction);
  }

  get status(): SafetyStatus {
    const { name, onFailure } = this.#options;
    return { provider: name, onFailure, failures: this.#failures, lastFailure: this.#last };
  }

  /**
   * @throws Failure `safety_unavailable` without a verdict, if the operator lets nothing pass then, or what is wrong with
   * the content; `signal.reason`, unchanged
   */
  async check(content: Content, keyId: string, signal: AbortSignal): Promise<Verdict> {
    const { clock, onCheck } = this.#options;
    if (content.texts.length + content.pictures.length === 0) return PASSED;
    const startedAt = clock();
    let outcome: CheckOutcome = 'left';
    try {
      const verdict = await this.#judged(content, keyId, signal);
      outcome = verdict.isBlocked ? 'blocked' : verdict.isUnchecked === true ? 'unchecked' : 'passed';
      return verdict;
    } catch (cause) {
      if (!signal.aborted) outcome = 'failed';
      throw cause;
    } finally {
      onCheck(content.direction, outcome, (clock() - startedAt) / 1_000);
    }
  }

  async #judged(content: Content, keyId: string, signal: AbortSignal): Promise<Verdict> {
    // The first blocked part stops the other questions, and so does what the caller gets as an error.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const { direction } = content;
    try {
      const asked = this.#questions(content).map(async (question) => {
        const verdict = await this.#ask(question, keyId, either).catch((cause: unknown) =>
          this.#undecided(direction, cause),
        );
        if (verdict.isBlocked) throw new Blocked(verdict);
        return verdict;
      });
      try {
        return joined(await Promise.all(asked));
      } catch (cause) {
        stop.abort();
        await Promise.allSettled(asked);
        throw cause;
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof Blocked) return cause.verdict;
      throw cause;
    }
  }

  /** @throws Failure of content that the service never takes */
  #questions(content: Content): readonly Content[] {
    try {
      return this.#options.provider.questions(content);
    } catch (cause) {
      this.#undecided(content.direction, cause);
      throw cause;
    }
  }

  async #ask(question: Content, keyId: string, signal: AbortSignal): Promise<Verdict> {
    const { timeoutMs, provider } = this.#options;
    const timeout = AbortSignal.timeout(timeoutMs);
    const either = AbortSignal.any([signal, timeout]);
    // A caller that fills its own share makes itself wait. That must not open the filter.
    const refusal = this.#places.isFull(keyId) ? unavailable(question.direction) : undefined;
    let isAsked = false;
    try {
      const leave = await this.#places.enter(keyId, either);
      isAsked = true;
      try {
        return await provider.check(question, either);
      } finally {
        leave();
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw cause;
      throw isAsked
        ? new Unchecked('timeout', `no verdict within ${timeoutMs} ms`, refusal)
        : new Unchecked('busy', `no free slot within ${timeoutMs} ms`, refusal);
    }
  }

  /** @throws Failure, unless the operator lets content pass that the service fails to judge */
  #undecided(direction: Direction, cause: unknown): Verdict {
    if (!(cause instanceof Unchecked)) throw cause;
    const { onFailure, onUnchecked } = this.#options;
    const passes = onFailure === 'open' && cause.refusal === undefined;
    this.#failures += 1;
    this.#last = { at: new Date().toISOString(), reason: cause.reason };
    onUnchecked(direction, cause.reason);
    this.#tell(direction, cause, passes);
    if (passes) return { ...PASSED, isUnchecked: true };
    throw cause.refusal ?? unavailable(direction);
  }

  /** One line for many failures, because a service that is down fails for every request. */
  #tell(direction: Direction, { reason, message }: Unchecked, passed: boolean): void {
    const { clock, log, name } = this.#options;
    this.#unlogged += 1;
    if (clock() - this.#loggedAt < LOG_EVERY_MS) return;
    log.warn(
      { provider: name, direction, reason, problem: message, failures: this.#unlogged, passed },
      'content not checked',
    );
    this.#loggedAt = clock();
    this.#unlogged = 0;
  }
}

function unavailable(direction: Direction): Failure {
  return new Failure('safety_unavailable', `the ${direction} could not be checked by the content filter; try again`);
}

/** One part is blocked: what the others are does not matter. */
class Blocked extends Error {
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super('blocked');
    this.verdict = verdict;
  }
}
