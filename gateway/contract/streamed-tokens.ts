import type { EnginePath } from './job.ts';

const EVENT_END = Buffer.from('\n\n');
const COLON = 58;
/** Events before the first token of a stream (source: vLLM 0.33, recorded): the role; what opens a response. */
const OPENING_EVENTS: Readonly<Record<EnginePath, number>> = {
  '/v1/chat/completions': 1,
  '/v1/completions': 0,
  '/v1/responses': 4,
  '/tokenize': 0,
};

/**
 * Counts the tokens of a stream that may never get its engine's count. vLLM sends each token in an event of its own,
 * except that a busy engine may merge a few.
 */
export class StreamedTokens {
  #events = 0;

  /** @param chunk bytes of the stream */
  add(chunk: Buffer): void {
    // A comment keeps the connection open.
    if (chunk[0] === COLON) return;
    for (let at = chunk.indexOf(EVENT_END); at >= 0; at = chunk.indexOf(EVENT_END, at + 2)) this.#events += 1;
  }

  of(path: EnginePath): number {
    return Math.max(0, this.#events - OPENING_EVENTS[path]);
  }
}
