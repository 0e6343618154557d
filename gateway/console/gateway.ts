import { parseJson } from './read-json.ts';
import { localRefusal, refusalIn, type Refusal } from './refusal.ts';

/** Longest time to wait for data, in milliseconds. */
const WITHIN_MS = 20_000;
/** Characters of a refusal that are read. */
const MOST_REFUSAL = 100_000;
/** A header takes no other characters. */
const KEY = /^[\x21-\x7e]{1,12288}$/;

export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

/**
 * The gateway that served this page, and the caller's key. The key is in the memory of this tab alone: a reload forgets
 * it, and no storage, cookie or address has it.
 */
export class Gateway {
  #key: string | undefined;
  readonly #onUnauthorized: () => void;

  /** @param onUnauthorized is called when the gateway does not accept the key, or wants one */
  constructor(onUnauthorized: () => void) {
    this.#onUnauthorized = onUnauthorized;
  }

  get hasKey(): boolean {
    return this.#key !== undefined;
  }

  /** @returns false if it cannot be a key */
  useKey(key: string): boolean {
    const trimmed = key.trim();
    if (!KEY.test(trimmed)) return false;
    this.#key = trimmed;
    return true;
  }

  forgetKey(): void {
    this.#key = undefined;
  }

  async get<T>(path: string, isRight: (value: unknown) => value is T): Promise<Outcome<T>> {
    const answer = await this.open(path, { signal: AbortSignal.timeout(WITHIN_MS) });
    if (!answer.ok) return answer;
    const value = parseJson(await answer.value.text().catch(() => ''));
    return isRight(value) ? { ok: true, value } : { ok: false, refusal: localRefusal(OTHER_VERSION) };
  }

  /** Sends a request and waits for the head of its answer. */
  async open(path: string, request: RequestInit): Promise<Outcome<Response>> {
    const headers = new Headers(request.headers);
    if (this.#key !== undefined) headers.set('authorization', `Bearer ${this.#key}`);
    let answer: Response;
    try {
      answer = await fetch(path, { ...request, headers, credentials: 'omit', redirect: 'error' });
    } catch {
      return { ok: false, refusal: localRefusal(NOT_REACHED) };
    }
    if (answer.ok) return { ok: true, value: answer };
    const body = (await answer.text().catch(() => '')).slice(0, MOST_REFUSAL);
    if (answer.status === 401) this.#onUnauthorized();
    return { ok: false, refusal: refusalIn(answer.status, answer.headers, body) };
  }
}

const NOT_REACHED = 'The gateway did not answer. Check that it runs, and that this machine reaches it.';
export const OTHER_VERSION =
  'The gateway sent what this page cannot read. Reload the page: it may be of another version.';
