import type { Failure } from '#contract/failure';
import type { Head } from '#contract/frame';
import type { Reply, Resume } from '../ask.ts';
import type { AnswerForm } from '../relay/answer-form.ts';
import { engineFailure } from '../relay/engine-failure.ts';

/** Gathers a non-streamed answer. */
export class WholeReply implements Reply {
  readonly #form: AnswerForm;
  readonly #messagesParam: string;
  #chunks: Buffer[] = [];
  #status = 0;
  #body = Buffer.alloc(0);

  /** @param messagesParam where the caller wrote the messages, for what is said of a prompt that is too long */
  constructor(form: AnswerForm, messagesParam: string) {
    this.#form = form;
    this.#messagesParam = messagesParam;
  }

  head(head: Head): void {
    this.#status = head.status;
  }
  data(chunk: Buffer): undefined {
    this.#chunks.push(chunk);
  }
  end(): Failure | undefined {
    this.#body = Buffer.concat(this.#chunks);
    if (this.#status !== 200) return engineFailure(this.#status, this.#body, this.#messagesParam);
    return this.#form.judge(this.#body);
  }
  /** The client has seen nothing of it. */
  resume(): Resume {
    this.#chunks = [];
    this.#status = 0;
    return { kind: 'again' };
  }

  /** the engine's bytes, once `end` said that they are whole */
  get body(): Buffer {
    return this.#body;
  }
}
