import type { Clock } from '#runtime/clock';
import type { Log } from '#runtime/log';
import { Failure } from '../failure.ts';
import type { Issuer } from './provider-file.ts';
import { readKeys, Unreadable, type IssuerKeySet } from './read-keys.ts';

/** Keys of this age are read again, in ms. */
const FRESH_MS = 10 * 60_000;
/** Keys are used this long without an answer of their issuer, in ms. After that, one that was withdrawn could be among them. */
const LONGEST_MS = 24 * 3_600_000;
/** Pause after a failed try, in ms. */
const RETRY_MS = 5_000;
/** Pause between two tries for keys that a token names and the issuer did not have, in ms: a token can name any key. */
const UNKNOWN_MS = 10_000;

/** One issuer in `/status`. */
export interface IssuerView {
  readonly provider: string;
  readonly issuer: string;
  /** `starting`: its keys were not read yet. `failing`: they could not be read. */
  readonly state: 'starting' | 'ok' | 'failing';
  /** in words, if it is failing */
  readonly trouble: string | null;
  readonly since: string;
  /** public keys that are in use; 0: its tokens are refused with 503 */
  readonly keys: number;
}

/** The public keys of one issuer, read when they are needed, and again before they are old. */
export class IssuerKeys {
  readonly #issuer: Issuer;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onChange: () => void;
  #keys: IssuerKeySet | undefined;
  #readAt = -Infinity;
  #triedAt = -Infinity;
  #unknownAt = -Infinity;
  #try: Promise<void> | undefined;
  #state: IssuerView['state'] = 'starting';
  #trouble: string | null = null;
  #since = new Date();

  /** @param onChange called when other keys replace those before */
  constructor(issuer: Issuer, clock: Clock, log: Log, onChange: () => void) {
    this.#issuer = issuer;
    this.#clock = clock;
    this.#log = log;
    this.#onChange = onChange;
  }

  get view(): IssuerView {
    const { provider, url } = this.#issuer;
    return {
      provider: provider.name,
      issuer: url,
      state: this.#state,
      trouble: this.#trouble,
      since: this.#since.toISOString(),
      keys: this.#usable?.count ?? 0,
    };
  }

  /** Reads the keys if that is due. Never throws. */
  look(): void {
    const dueAt = this.#state === 'ok' ? this.#readAt + FRESH_MS : this.#triedAt + RETRY_MS;
    if (this.#clock() >= dueAt) void this.#read();
  }

  /** The keys as they were read last. @throws Failure `issuer_unavailable` if there are none */
  async current(): Promise<IssuerKeySet> {
    if (this.#usable === undefined && (this.#try !== undefined || this.#retryInMs <= 0)) await this.#read();
    const keys = this.#usable;
    if (keys !== undefined) return keys;
    throw this.#unavailable();
  }

  #unavailable(): Failure {
    return new Failure(
      'issuer_unavailable',
      `the keys of the token's issuer (${this.#issuer.provider.name}) cannot be read at the moment; send the same request again`,
      { retryAfterMs: Math.max(1_000, this.#retryInMs) },
    );
  }

  /**
   * The keys after another look, because a token names one that is not among them. They may be the same.
   * @throws Failure `issuer_unavailable` if the issuer does not answer: it may have new keys
   */
  async again(): Promise<IssuerKeySet> {
    if (this.#try !== undefined) await this.#try;
    else if (this.#clock() >= this.#unknownAt + UNKNOWN_MS) {
      this.#unknownAt = this.#clock();
      await this.#read();
    }
    if (this.#state === 'failing') throw this.#unavailable();
    return await this.current();
  }

  get #usable(): IssuerKeySet | undefined {
    return this.#clock() < this.#readAt + LONGEST_MS ? this.#keys : undefined;
  }

  get #retryInMs(): number {
    return this.#triedAt + RETRY_MS - this.#clock();
  }

  /** One try at a time. */
  #read(): Promise<void> {
    this.#try ??= this.#readNow().finally(() => {
      this.#try = undefined;
    });
    return this.#try;
  }

  async #readNow(): Promise<void> {
    this.#triedAt = this.#clock();
    try {
      const keys = await readKeys(this.#issuer);
      const before = this.#keys;
      this.#keys = keys;
      this.#readAt = this.#clock();
      this.#be('ok', null);
      if (before !== undefined && before.text !== keys.text) this.#onChange();
    } catch (cause) {
      this.#be('failing', cause instanceof Unreadable ? cause.message : 'unknown');
    }
  }

  #be(state: IssuerView['state'], trouble: string | null): void {
    const was = this.#state;
    this.#trouble = trouble;
    if (state === was) return;
    this.#state = state;
    this.#since = new Date();
    const { provider, url } = this.#issuer;
    const fields = { provider: provider.name, issuer: url, keys: this.#usable?.count ?? 0, was };
    if (state === 'ok')
      this.#log.info(fields, was === 'starting' ? 'keys of an issuer read' : 'an issuer answers again');
    else this.#log.warn({ ...fields, trouble }, 'the keys of an issuer cannot be read');
  }
}
