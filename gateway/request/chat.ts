import type { ServiceClass } from '#contract/service-class';

/** The normalised request: every dialect parses into it, and all later code knows only this. */

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
  /** `name`, `tool_calls`, `tool_call_id`: passed to the engine unchanged */
  readonly extra?: Readonly<Record<string, JsonValue>>;
  /** path of its content in the caller's body; absent: `content` of the message with the same index */
  readonly place?: string;
  /** id of the item of an earlier answer that it stands for; its own content is empty */
  readonly reference?: string;
}

/** A bare prompt: a text, or ids of the model's tokens. */
export type Prompt = string | readonly number[];

/** Limit of prompts in one request to a model whose card allows batches: one engine runs them all at the same time. */
export const LARGEST_BATCH = 128;

/** The forms in which Azure's container writes the answers to bare prompts. */
export type AnswerForm = 'table' | 'list';

export interface ChatRequest {
  /** the engine's route, unless it is the usual one of a conversation or a bare prompt */
  readonly route?: '/v1/responses' | '/tokenize';
  /** the name that the caller used; absent: the only served model */
  readonly model?: string;
  /** empty if there are prompts */
  readonly messages: readonly ChatMessage[];
  /** text before the conversation, if the caller's API has a separate field for it */
  readonly instructions?: string;
  /** bare prompts, each to be continued, without a chat template; several are a batch */
  readonly prompts?: readonly [Prompt, ...Prompt[]];
  readonly stream: boolean;
  /** the caller requested the closing usage event of a stream */
  readonly includeUsage: boolean;
  /** usage in each event as well; absent: no */
  readonly continuousUsage?: true;
  /** limit for the answer that the caller gave, in tokens */
  readonly maxTokens?: number;
  /** path of this limit in the caller's body, for errors: `max_tokens`, `input_data.parameters.max_new_tokens` */
  readonly maxTokensParam: string;
  /** where the messages are in the caller's body: `messages`, `input_data.input_string`, `prompt` */
  readonly messagesParam: string;
  /** path of a picture in its part; absent: `image_url.url` */
  readonly imageParam?: 'image_url' | 'source';
  /** number of requested choices */
  readonly choices: number;
  /** validated fields for the engine, under the engine's names */
  readonly sampling: Readonly<Record<string, JsonValue>>;
  /** form of several answers of `/score`: a table of one row, or a list; absent: one answer to a conversation */
  readonly answerForm?: AnswerForm;
  /** the class of service that the caller asks for; absent: none */
  readonly serviceTier?: ServiceClass;
  /** what the caller says about keeping the answer; absent: its API keeps none */
  readonly keeping?: Keeping;
  /** names of accepted fields without effect, listed in the log and in a response header */
  readonly ignored: readonly string[];
}

/** What a caller says about keeping its answer. */
export interface Keeping {
  /** it goes on whether or not its caller is connected */
  readonly background: boolean;
  /** as long as the operator's setting says, with its input; null: the operator decides */
  readonly store: boolean | null;
  readonly metadata: { readonly [key: string]: JsonValue };
  /** the kept response whose conversation comes first */
  readonly previous_response_id: string | null;
}

/** How an answer is kept: for long, or only for the time in which its caller fetches it. */
export type Stored = Keeping & { readonly store: boolean };

/** Path of a message's content in the caller's body, such as `messages[0].content`. */
export function contentPath(messagesParam: string, { place }: ChatMessage, index: number): string {
  return place ?? `${messagesParam}[${index}].content`;
}

/** Fields that all events of one stream have in common. */
export interface StreamIdentity {
  readonly id: string;
  /** seconds since 1970 */
  readonly created: number;
  readonly model: string;
  /** members of a kept response that engines do not know */
  readonly shown?: { readonly [key: string]: JsonValue };
}

/** Token counts as the engine reports them. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}
