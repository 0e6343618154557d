/** The inner language: every dialect parses into it, everything behind the dialects knows only this. */

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

export const ROLES = ['system', 'user', 'assistant', 'tool'] as const;
export type Role = (typeof ROLES)[number];

interface TextPart {
  readonly type: 'text';
  readonly text: string;
}
/** `url` is http(s) when parsed and always a `data:` URI once the images were resolved. */
interface ImagePart {
  readonly type: 'image_url';
  readonly image_url: { readonly url: string; readonly detail?: string };
}
export type ContentPart = TextPart | ImagePart;

export interface ChatMessage {
  readonly role: Role;
  readonly content: string | null | readonly ContentPart[];
  /** `name`, `tool_calls`, `tool_call_id`: handed to the engine as they came */
  readonly extra?: Readonly<Record<string, JsonValue>>;
  /** where its content stands in the caller's body; absent: `content` of the message that has its index */
  readonly place?: string;
}

/** A bare prompt: a text, or ids of the model's tokens. */
export type Prompt = string | readonly number[];

/** Prompts in one request to a model whose card allows batches: one engine works on all of them at once. */
export const LARGEST_BATCH = 128;

/** The forms in which Azure's container writes the answers to bare prompts. */
export type AnswerForm = 'table' | 'list';

export interface ChatRequest {
  /** the engine's route, where it is not that of a conversation or, with prompts, of a bare prompt */
  readonly route?: '/v1/responses' | '/tokenize';
  /** the name that the caller used; absent means the only model served */
  readonly model?: string;
  /** empty when there are prompts in their place */
  readonly messages: readonly ChatMessage[];
  /** what stands before the conversation, where the caller's API keeps it apart */
  readonly instructions?: string;
  /** bare prompts, each to be continued, without a chat template; several are a batch */
  readonly prompts?: readonly [Prompt, ...Prompt[]];
  readonly stream: boolean;
  /** the caller asked for the closing usage event of a stream */
  readonly includeUsage: boolean;
  /** and in each event as well; absent: no */
  readonly continuousUsage?: true;
  /** tokens the caller allows for the answer, if it said */
  readonly maxTokens?: number;
  /** where the caller wrote it, for messages: `max_tokens`, `input_data.parameters.max_new_tokens` */
  readonly maxTokensParam: string;
  /** where the messages are in the caller's body: `messages`, `input_data.input_string`, `prompt` */
  readonly messagesParam: string;
  /** where a picture is in its part; absent: `image_url.url` */
  readonly imageParam?: 'image_url' | 'source';
  /** number of choices asked */
  readonly choices: number;
  /** fields that the engine takes, under the engine's names, validated */
  readonly sampling: Readonly<Record<string, JsonValue>>;
  /** how several answers of `/score` are written: a table of one row, or a list; absent: one answer to a conversation */
  readonly answerForm?: AnswerForm;
  /** names of fields that were accepted and have no effect; told in the log and in a response header */
  readonly ignored: readonly string[];
}

/** Where a message's content stands, in the caller's words, such as `messages[0].content`. */
export function contentPath(messagesParam: string, { place }: ChatMessage, index: number): string {
  return place ?? `${messagesParam}[${index}].content`;
}

/** What all events of one stream have in common. */
export interface StreamIdentity {
  readonly id: string;
  /** seconds since 1970 */
  readonly created: number;
  readonly model: string;
}

/** Token counts as the engine reports them. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}
