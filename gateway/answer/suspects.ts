import { setTimeout as pause } from 'node:timers/promises';
import type { Failure } from '../failure.ts';
import type { EnginePath } from '#contract/job';
import { hashOf, quarantined, type Quarantine } from '../queue/quarantine.ts';

/** After this many engine deaths a request is refused, whichever other requests ran there. */
const MOST_DEATHS = 3;
/**
 * A suspected request runs again this much later than those that were lost with it, in ms. So the next engine takes it last
 * again, if it was the reason, and none of the others is suspected.
 */
const LATER_MS = 200;

/**
 * Finds the request that an engine died of. Hundreds of requests may have run on it. Suspected are the one that it took
 * last, and one that ran at every death. All others run again.
 */
export class Suspects {
  readonly quarantine: Quarantine;
  readonly onDeath: (keyId: string) => void;
  readonly onQuarantined: () => void;
  /** the request that each engine took last */
  readonly newest = new Map<string, Suspect>();

  /**
   * @param onDeath an engine died while it ran a request of this key
   * @param onQuarantined a request is refused from now on
   */
  constructor(quarantine: Quarantine, onDeath: (keyId: string) => void, onQuarantined: () => void) {
    this.quarantine = quarantine;
    this.onDeath = onDeath;
    this.onQuarantined = onQuarantined;
  }
}

/** One request and its suspicion. */
export class Suspect {
  readonly #among: Suspects;
  readonly #request: { readonly keyId: string; readonly path: EnginePath };
  #engine = '';
  #deaths = 0;
  #unclear = 0;
  #hash: string | undefined;

  constructor(among: Suspects, request: { readonly keyId: string; readonly path: EnginePath }) {
    this.#among = among;
    this.#request = request;
  }

  /** @param engine the engine that has it now, by a name of its present life */
  taken(engine: string): void {
    this.leave();
    this.#engine = engine;
    this.#among.newest.set(engine, this);
  }

  /** No engine has it any longer. */
  leave(): void {
    if (this.#among.newest.get(this.#engine) === this) this.#among.newest.delete(this.#engine);
  }

  /** It was answered: it was not the reason. */
  answered(): void {
    if (this.#hash !== undefined) this.#among.quarantine.clear(this.#hash);
  }

  /**
   * Its attempt was lost.
   * @param request the engine's request of the attempt; the first one gives its hash
   * @returns its caller's failure if all replicas refuse it from now on
   */
  async lost({ code, options, cause }: Failure, request: Buffer | undefined): Promise<Failure | undefined> {
    if (options.engineDied !== true) {
      // A stream of this route breaks off if its engine refuses it or dies: the next attempt shows which.
      if (this.#request.path === '/v1/responses' && code !== 'engine_failed') this.#unclear += 1;
      return undefined;
    }
    this.#deaths += 1;
    this.#among.onDeath(this.#request.keyId);
    if (request !== undefined) this.#hash ??= hashOf(request);
    const isNewest = this.#among.newest.get(this.#engine) === this;
    const isLast = this.#deaths >= MOST_DEATHS || (isNewest && this.#unclear > 0);
    if (this.#hash === undefined || !(isLast || isNewest)) return undefined;
    // While Redis is away no other engine can run it either.
    const isRefused = await this.#among.quarantine.suspect(this.#hash, this.#engine, isLast).catch(() => false);
    if (!isRefused) {
      await pause(LATER_MS);
      return undefined;
    }
    this.#among.onQuarantined();
    return quarantined(cause);
  }
}
