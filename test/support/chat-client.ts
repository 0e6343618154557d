import { z } from 'zod';

const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ multimodal_tokens: z.object({ image: z.int() }).nullish() }).nullish(),
});
export const Answer = z.object({
  object: z.literal('chat.completion'),
  model: z.string(),
  choices: z.tuple([
    z.object({ message: z.object({ role: z.literal('assistant'), content: z.string() }), finish_reason: z.string() }),
  ]),
  usage: Usage,
});
const Chunk = z.object({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  model: z.string(),
  choices: z.array(
    z.object({
      delta: z.object({ role: z.string().nullish(), content: z.string().nullish() }),
      finish_reason: z.string().nullable(),
    }),
  ),
  usage: Usage.nullish(),
});
export const Refusal = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }),
});

/** A client's result of a stream, however it ended. */
export interface Streamed {
  readonly status: number;
  readonly chunks: readonly z.infer<typeof Chunk>[];
  readonly text: string;
  /** `[DONE]` was the last event */
  readonly done: boolean;
  /** code of an error event, or of a body that is not a stream */
  readonly error: z.infer<typeof Refusal>['error'] | undefined;
}
export interface Stream {
  /** resolves with the first text; rejects when the stream ended without any */
  readonly begun: Promise<void>;
  readonly ended: Promise<Streamed>;
  /** closes the connection */
  leave(): void;
}

export function post(url: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Sends a streamed request and reads the stream. An event that is neither a chunk nor an error fails the test. */
export function startStream(url: string, body: object): Stream {
  const leaving = new AbortController();
  let begin: () => void = () => {};
  let miss: (reason: Error) => void = () => {};
  const begun = new Promise<void>((resolve, reject) => {
    begin = resolve;
    miss = reject;
  });
  const ended = readStream(post(url, { ...body, stream: true }, leaving.signal), begin);
  ended.then(
    (answer) => miss(new Error(`no text arrived: ${JSON.stringify(answer)}`)),
    (cause: unknown) => miss(new Error('no text arrived', { cause })),
  );
  // A test may await only one of the two, so neither may be an unhandled rejection.
  begun.catch(() => {});
  ended.catch(() => {});
  return { begun, ended, leave: () => leaving.abort() };
}

async function readStream(sent: Promise<Response>, onText: () => void): Promise<Streamed> {
  const response = await sent;
  const { status } = response;
  if (status !== 200) {
    const { error } = Refusal.parse(await response.json());
    return { status, chunks: [], text: '', done: false, error };
  }
  const chunks: z.infer<typeof Chunk>[] = [];
  const text: string[] = [];
  let done = false;
  let error: Streamed['error'];
  for await (const event of events(response)) {
    if (done) throw new Error(`event after [DONE]: ${event}`);
    if (event === '[DONE]') done = true;
    else if (event.startsWith('{"error"')) error = Refusal.parse(JSON.parse(event)).error;
    else {
      const chunk = Chunk.parse(JSON.parse(event));
      chunks.push(chunk);
      const content = chunk.choices[0]?.delta.content ?? '';
      if (content === '') continue;
      text.push(content);
      onText();
    }
  }
  return { status, chunks, text: text.join(''), done, error };
}

/** The data of each event; comments are keep-alives. */
async function* events(response: Response): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      if (part.startsWith('data: ')) yield part.slice('data: '.length);
      else if (!part.startsWith(':')) throw new Error(`not an event: ${part}`);
    }
  }
  if (rest !== '') throw new Error(`half an event at the end: ${rest}`);
}
