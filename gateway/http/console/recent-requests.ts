import { LIVE_REQUESTS, LiveRequest } from '#contract/console';
import { NOBODY } from '../../keys/caller.ts';

interface Ended {
  readonly endedAt: number;
  readonly line: Readonly<Record<string, unknown>>;
  /** made for the first reader; null: the line is none of a request */
  told?: LiveRequest | null;
}

/** The last requests of this gateway, by their log lines. Only the fields of `LiveRequest` leave it. */
export class RecentRequests {
  /** a ring: request number n is at n modulo its length */
  readonly #ended: Ended[] = [];
  #count = 0;

  /** how many have ended; the number of the next one */
  get count(): number {
    return this.#count;
  }

  /** @param line of the log, without content; those of the console itself are left out, and of strangers, who could fill the ring */
  add(line: Readonly<Record<string, unknown>>): void {
    if (line['dialect'] === 'console' || line['keyId'] === NOBODY.id) return;
    this.#ended[this.#count % LIVE_REQUESTS] = { endedAt: Date.now(), line };
    this.#count += 1;
  }

  /** Those from this number on that it still has, newest first. */
  since(number: number): LiveRequest[] {
    const oldest = Math.max(number, this.#count - LIVE_REQUESTS);
    const found: LiveRequest[] = [];
    for (let at = this.#count - 1; at >= oldest; at -= 1) {
      const ended = this.#ended[at % LIVE_REQUESTS];
      if (ended === undefined) continue;
      ended.told ??= requestOf(ended) ?? null;
      if (ended.told !== null) found.push(ended.told);
    }
    return found;
  }
}

/** A request that was refused before the queue has only the id that its client got. */
function requestOf({ endedAt, line }: Ended): LiveRequest | undefined {
  const { requestId, callerRequestId, repeats = 0 } = line;
  const named = { requestId: requestId === '' ? callerRequestId : requestId, repeats };
  return LiveRequest.safeParse({ ...line, ...named, endedAt: new Date(endedAt).toISOString() }).data;
}
