import type { AnswerForm, ChatRequest, StreamIdentity } from '../request/chat.ts';
import type { Failure } from '../failure.ts';
import type { ModelCard } from '#contract/model-card';
import type { Described, Description } from './description.ts';

/** A whole HTTP answer, ready to be written. */
export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** What a dialect may read of a request besides its body. */
export interface Said {
  /** by their names in small letters */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** of the model behind a route whose bodies name none */
  readonly card?: ModelCard;
}

/** What an answer's form depends on. */
export interface AnswerFacts {
  readonly form?: AnswerForm;
  /** from the queue to the whole answer, in milliseconds */
  readonly modelMs: number;
}

/** One API shape of callers: objects and bytes in, objects and bytes out; pure. */
export interface Dialect {
  readonly name: 'openai' | 'azure_score' | 'azure_inference' | 'azure_openai' | 'anthropic';
  /** of every answer, also of refusals */
  readonly headers?: Readonly<Record<string, string>>;
  /** further headers in which its clients send a key, beside `authorization` and `api-key` */
  readonly keyHeaders?: readonly string[];
  /** a further header that says the request's id */
  readonly requestIdHeader?: string;
  /** its bodies name no model: `parse` is told the card that the route found */
  readonly needsCard?: true;
  /** @throws Failure that names the field at fault in the caller's words */
  parse(body: unknown, said?: Said): ChatRequest;
  /** The engine's whole, successful, non-streamed answer, as its bytes came. */
  renderAnswer(engineBody: Buffer, facts: AnswerFacts): Rendered;
  /** Before the first byte: status, headers and body as this dialect's callers expect them. */
  renderFailure(failure: Failure, requestId?: string): Rendered;
  /**
   * After the first byte of a stream: the event that tells of the end. No `[DONE]` follows it.
   * @param eventsBefore events that the client has, where the API numbers them
   */
  renderStreamFailure(failure: Failure, eventsBefore?: number): string;
  /**
   * A translator for one stream, where the API's events are not the engine's: whole events in vLLM's form become the
   * client's, which may be none. `[DONE]` is among them only behind a whole answer, a comment keeps the stream open.
   */
  readonly renderEvents?: () => (events: Buffer | string) => string;
  /** name of the schema of a failure's body */
  readonly errorSchema: string;
  /** Callers notice a broken stream by its connection, which is cut after the event that tells of it. */
  readonly cutsBrokenStreams?: boolean;
  /** An event without text that keeps a silent stream open, where callers read no comments. Absent: comments do. */
  readonly emptyEvent?: (stream: StreamIdentity) => string;
  /** What the API's document says of it. */
  describe(described: Described): Description;
}
