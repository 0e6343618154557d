import type { Head } from '#contract/frame';
import type { Failure } from '#contract/failure';
import type { ReplySink } from '../relay/exchange.ts';

/** Gathers a non-streamed answer. */
export class WholeReply implements ReplySink {
  readonly #chunks: Buffer[] = [];
  #status = 502;

  head(head: Head): void {
    this.#status = head.status;
  }
  data(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }
  end(): void {}
  fail(_failure: Failure): void {}

  get status(): number {
    return this.#status;
  }
  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
