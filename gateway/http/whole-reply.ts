import { Failure } from '#contract/failure';
import type { Head } from '#contract/frame';
import type { Reply, Resume } from '../ask.ts';
import type { EngineAnswer } from '../relay/engine-answer.ts';
import { engineFailure } from '../relay/engine-failure.ts';

/** Log probabilities of the longest answers take some 10 MB. */
const LIMIT_BYTES = 64 * 1024 * 1024;

/** Gathers a non-streamed answer. */
export class WholeReply implements Reply {
  readonly #answer: EngineAnswer;
  readonly #messagesParam: string;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #body = Buffer.alloc(0);

  /** @param messagesParam where the caller wrote the messages, for what is said of a prompt that is too long */
  constructor(answer: EngineAnswer, messagesParam: string) {
    this.#answer = answer;
    this.#messagesParam = messagesParam;
  }

  head(head: Head): void {
    this.#status = head.status;
  }
  data(chunk: Buffer): Failure | undefined {
    this.#bytes += chunk.length;
    if (this.#bytes > LIMIT_BYTES) {
      this.#chunks = [];
      return new Failure('engine_failed', 'the model process failed on this request', {
        cause: `an answer of more than ${String(LIMIT_BYTES)} bytes`,
      });
    }
    this.#chunks.push(chunk);
    return undefined;
  }
  end(): Failure | undefined {
    this.#body = Buffer.concat(this.#chunks);
    if (this.#status !== 200) return engineFailure(this.#status, this.#body, this.#messagesParam);
    return this.#answer.judge(this.#body);
  }
  /** The client has seen nothing of it. */
  resume(): Promise<Resume> {
    this.#chunks = [];
    this.#bytes = 0;
    this.#status = 0;
    return Promise.resolve({ kind: 'again' });
  }

  /** the engine's bytes, once `end` said that they are whole */
  get body(): Buffer {
    return this.#body;
  }
}
