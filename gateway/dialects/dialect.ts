import type { AnswerForm, ChatRequest, StreamIdentity } from '../request/chat.ts';
import type { Failure } from '../failure.ts';
import type { ModelCard } from '#contract/model-card';
import type { Described, Description } from './description.ts';

/** A complete HTTP answer, ready to be written. */
export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** The parts of a request, besides its body, that a dialect may read. */
export interface Said {
  /** by their names in lower case */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** the model of a route whose bodies name none */
  readonly card?: ModelCard;
}

/** Facts that decide an answer's form. */
export interface AnswerFacts {
  readonly form?: AnswerForm;
  /** from the queue to the complete answer, in milliseconds */
  readonly modelMs: number;
}

/** One API of callers. Pure: objects and bytes in, objects and bytes out. */
export interface Dialect {
  /** `console` is OpenAI's, for the data of the console */
  readonly name: 'openai' | 'azure_score' | 'azure_inference' | 'azure_openai' | 'anthropic' | 'console';
  /** added to every answer and refusal */
  readonly headers?: Readonly<Record<string, string>>;
  /** further headers in which its clients send a key, besides `authorization` and `api-key` */
  readonly keyHeaders?: readonly string[];
  /** a further header that carries the request's id */
  readonly requestIdHeader?: string;
  /** its bodies name no model: `parse` gets the card that the route found */
  readonly needsCard?: true;
  /** @throws Failure that names the field at fault as the caller wrote it */
  parse(body: unknown, said?: Said): ChatRequest;
  /** Renders the engine's complete, successful, non-streamed answer from its original bytes. */
  renderAnswer(engineBody: Buffer, facts: AnswerFacts): Rendered;
  /** Renders a failure before the first byte: status, headers and body as this dialect's callers expect them. */
  renderFailure(failure: Failure, requestId?: string): Rendered;
  /**
   * Renders the event that reports a failure in a stream. No `[DONE]` follows it.
   * @param eventsBefore events that the client has, if the API numbers them
   */
  renderStreamFailure(failure: Failure, eventsBefore?: number): string;
  /**
   * Makes a translator for one stream, if the API's events differ from the engine's. It turns complete events in vLLM's
   * form into the client's, perhaps none. `[DONE]` is among them only after a complete answer; a comment keeps the
   * stream open.
   */
  readonly renderEvents?: () => (events: Buffer | string) => string;
  /** name of the schema of a failure's body */
  readonly errorSchema: string;
  /** Its callers detect a broken stream only by the connection, which is cut after the error event. */
  readonly cutsBrokenStreams?: boolean;
  /** Its answers tell what the content filter found, in Azure OpenAI's form. */
  readonly tellsFilterResults?: true;
  /** Its answers outlive their connection if they have an idempotency key; `POST <path>/cancel` ends them. */
  readonly durable?: true;
  /** Its clients take `id:` lines, so that a stream can go on after any event. */
  readonly numbersEvents?: true;
  /** An event without text that keeps a silent stream open. Absent: callers read comments. */
  readonly emptyEvent?: (stream: StreamIdentity) => string;
  /** Two events, numbered 0 and 1, that say that the request waits in the queue. */
  readonly queuedEvents?: (stream: StreamIdentity) => string;
  /** Describes its routes for the API's document. */
  describe(described: Described): Description;
}
