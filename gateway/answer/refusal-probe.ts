import { z } from 'zod';
import type { Failure } from '../failure.ts';
import type { Head } from '#contract/frame';
import type { Reply, Resume } from './ask.ts';
import { readEngineRequest } from '../intake/engine-request.ts';
import { unfinished } from './engine/failure.ts';

const Members = z.looseObject({});
/** One token, not streamed, of the same request. */
const PLAIN = { stream: false, max_output_tokens: 1 } as const;

/**
 * A stream of `/v1/responses` that breaks off before its first word: vLLM does that where its engine refuses the request
 * (a grammar that cannot be built, a token id outside the vocabulary), and a lost engine looks the same (source: vLLM
 * 0.32, recorded). Asked for one token without a stream an engine says its refusal; if it has none, the request runs again.
 */
export class RefusalProbe implements Reply {
  readonly #stream: Reply;
  #original: Buffer | undefined;
  #isProbing = false;
  #status = 0;

  constructor(stream: Reply) {
    this.#stream = stream;
  }

  head(head: Head): void {
    this.#status = head.status;
    if (!this.#hasNone) this.#stream.head(head);
  }

  data(chunk: Buffer): Failure | undefined {
    return this.#hasNone ? undefined : this.#stream.data(chunk);
  }

  end(): Failure | undefined {
    return this.#hasNone ? unfinished('the stream broke off, and nothing was refused') : this.#stream.end();
  }

  get isWhole(): boolean {
    return this.#stream.isWhole === true;
  }

  async resume(original: Buffer): Promise<Resume> {
    if (this.#isProbing && this.#original !== undefined) {
      this.#isProbing = false;
      return { kind: 'continue', body: this.#original };
    }
    const resume = await this.#stream.resume(original);
    if (resume.kind !== 'again' || this.#original !== undefined) return resume;
    this.#original = original;
    this.#isProbing = true;
    this.#status = 0;
    const request = readEngineRequest(original);
    return { kind: 'continue', body: request.write({ ...Members.parse(request.body), ...PLAIN }) };
  }

  /** the probe was answered: there is no refusal */
  get #hasNone(): boolean {
    return this.#isProbing && this.#status === 200;
  }
}
