import { isUtf8 } from 'node:buffer';
import type { Failure } from '../failure.ts';
import type { Usage } from '../request/chat.ts';
import type { StreamSeam } from './continuation.ts';
import type { Head } from '#contract/frame';
import { AnswerOutline, SHORT_BYTES } from './engine/answer-outline.ts';
import type { EngineAnswer } from './engine/answer.ts';
import { engineFailure, oversized, unfinished } from './engine/failure.ts';
import { LONGEST_BYTES, withoutMark } from './engine/sse.ts';
import type { LoggedReply, Resume } from './reply.ts';

/** Gathers a non-streamed answer. */
export class WholeReply implements LoggedReply {
  readonly #answer: EngineAnswer;
  readonly #messagesParam: string;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #body: Buffer = Buffer.alloc(0);
  #outline: AnswerOutline | undefined;
  readonly hasData = false;

  /** @param messagesParam path of the messages in the caller's body, for the error about a prompt that is too long */
  constructor(answer: EngineAnswer, messagesParam: string) {
    this.#answer = answer;
    this.#messagesParam = messagesParam;
  }

  head(head: Head): void {
    this.#status = head.status;
  }
  data(chunk: Buffer): Failure | undefined {
    this.#bytes += chunk.length;
    if (this.#bytes > LONGEST_BYTES) {
      this.#chunks = [];
      return oversized(`an answer of more than ${LONGEST_BYTES} bytes`);
    }
    this.#chunks.push(chunk);
    if (this.#outline !== undefined) this.#outline.add(chunk);
    else if (this.#bytes > SHORT_BYTES) {
      this.#outline = new AnswerOutline();
      for (const one of this.#chunks) this.#outline.add(one);
    }
    return undefined;
  }
  end(): Failure | undefined {
    this.#body = withoutMark(Buffer.concat(this.#chunks));
    if (this.#status !== 200) return engineFailure(this.#status, this.#body, this.#messagesParam);
    if (this.#outline !== undefined && !isUtf8(this.#body)) return unfinished('a 200 that is not UTF-8');
    return this.#answer.judge(this.outline, this.#messagesParam);
  }
  /** The client has no part of it. */
  resume(original: Buffer): Promise<Resume> {
    return Promise.resolve({ kind: 'ask', body: original, seam: this.follow({ kind: 'again' }) });
  }
  follow(seam: StreamSeam): StreamSeam {
    this.#chunks = [];
    this.#bytes = 0;
    this.#status = 0;
    this.#outline = undefined;
    return seam;
  }
  close(): void {}

  get usage(): Usage | undefined {
    return this.#answer.usage(this.outline);
  }

  /** the engine's bytes, after `end` found them complete */
  get body(): Buffer {
    return this.#body;
  }
  /** the same without long lists of tokens, for all that the gateway reads of it */
  get outline(): Buffer {
    return this.#outline === undefined ? this.#body : withoutMark(this.#outline.bytes());
  }
}
