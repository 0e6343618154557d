import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import { startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';
import { DONE, EVENT_STREAM, chunk, usageEvent } from '../support/scripted-stack.ts';

/** How the engine may answer a row. */
export const ANSWERS = ['text', 'length', 'refuses', 'fails', 'breaks', 'slow', 'silent', 'endless'] as const;
type EngineAnswer = (typeof ANSWERS)[number];

const Asked = z.looseObject({
  model: z.string(),
  prompt: z.union([z.string(), z.array(z.string())]).optional(),
  /** of a request for a response */
  input: z.json().optional(),
  n: z.int().default(1),
  stream: z.boolean().default(false),
  stream_options: z.looseObject({ include_usage: z.boolean().default(false) }).optional(),
  echo: z.boolean().default(false),
});
type Asked = z.infer<typeof Asked>;

/** One request as the engine got it. */
export interface Recorded {
  readonly path: string;
  readonly body: unknown;
  readonly prompts: readonly string[];
}

/** An engine that records its requests and gives the same short answer to all of them. */
export interface RecordingEngine extends AsyncDisposable {
  readonly engine: FakeEngine;
  /** how it answers from here on */
  answer: EngineAnswer;
  /** requests since the last call */
  taken(): Recorded[];
}

const TEXT = [' There', ' are three', ' boats.'];
const PROMPT_TOKENS = 7;
const COMPLETION_TOKENS = 5;
/** Longer than the keep-alive of the gateway under test. */
const SILENCE_MS = 200;

export async function startRecordingEngine(): Promise<RecordingEngine> {
  let seen = 0;
  const engine = await startFakeEngine((res, body) => {
    res.on('error', () => {});
    void answerAs(recording.answer, res, Asked.parse(body));
  });
  const recording: RecordingEngine = {
    engine,
    answer: 'text',
    taken: () => {
      const taken = engine.requests.slice(seen);
      seen = engine.requests.length;
      return taken.map(({ path, body }) => ({ path, body, prompts: [Asked.parse(body).prompt ?? []].flat() }));
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
  return recording;
}

async function answerAs(answer: EngineAnswer, res: ServerResponse, asked: Asked): Promise<void> {
  if (answer === 'silent') return;
  if (answer === 'refuses') refuse(res, 400, 'BadRequestError', 'stop cannot contain an empty string.');
  else if (answer === 'fails') refuse(res, 500, 'InternalServerError', 'Internal server error.');
  else if (asked.stream) await stream(answer, res, asked);
  else {
    const body = asked.input === undefined ? whole(answer, asked) : wholeResponse(asked);
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }
}

function refuse(res: ServerResponse, code: number, type: string, message: string): void {
  res.writeHead(code, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ error: { message, type, param: null, code } }));
}

/** Chat, or completions of each prompt; with vLLM's additional fields. */
function whole(answer: EngineAnswer, { model, prompt, n, echo }: Asked): object {
  const rest = { logprobs: null, finish_reason: answer === 'length' ? 'length' : 'stop', stop_reason: null };
  const ofPrompts = [prompt ?? []].flat().map((text) => ({ text: `${echo ? text : ''} answer to ${text}` }));
  const ofChat = Array.from({ length: n }, () => ({
    message: { role: 'assistant', content: TEXT.join(''), refusal: null, reasoning: null },
  }));
  return {
    id: `${prompt === undefined ? 'chatcmpl' : 'cmpl'}-recorded`,
    object: prompt === undefined ? 'chat.completion' : 'text_completion',
    created: 1_795_422_691,
    model,
    choices: (prompt === undefined ? ofChat : ofPrompts).map((choice, index) => ({ index, ...choice, ...rest })),
    usage: {
      prompt_tokens: PROMPT_TOKENS,
      total_tokens: PROMPT_TOKENS + COMPLETION_TOKENS,
      completion_tokens: COMPLETION_TOKENS,
    },
    prompt_logprobs: null,
    kv_transfer_params: null,
  };
}

function wholeResponse({ model }: Asked): object {
  const content = [{ type: 'output_text', text: TEXT.join(''), annotations: [] }];
  return {
    id: 'resp_recorded',
    object: 'response',
    created_at: 1_795_422_691,
    model,
    status: 'completed',
    output: [{ id: 'msg_recorded', type: 'message', role: 'assistant', status: 'completed', content }],
    usage: {
      input_tokens: PROMPT_TOKENS,
      output_tokens: COMPLETION_TOKENS,
      total_tokens: PROMPT_TOKENS + COMPLETION_TOKENS,
    },
  };
}

async function stream(answer: EngineAnswer, res: ServerResponse, asked: Asked): Promise<void> {
  if (answer === 'endless') return streamUntilLeft(res);
  const pause = answer === 'slow' ? SILENCE_MS : 0;
  res.writeHead(200, EVENT_STREAM).flushHeaders();
  for (const [index, text] of TEXT.entries()) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    const finish = index === TEXT.length - 1 ? 'stop' : null;
    res.write(asked.prompt === undefined ? chunk(text, finish) : promptChunk(text, finish));
    // Ends in order, because a broken connection looks like a crashed engine, after which the request is refused.
    if (answer === 'breaks' && index === 1) return void res.end();
  }
  if (asked.stream_options?.include_usage === true) res.write(usageEvent(PROMPT_TOKENS, COMPLETION_TOKENS));
  res.end(DONE);
}

async function streamUntilLeft(res: ServerResponse): Promise<void> {
  res.writeHead(200, EVENT_STREAM);
  while (!res.destroyed) {
    res.write(chunk(' more'));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function promptChunk(text: string, finish: string | null): string {
  const choices = [{ index: 0, text, logprobs: null, finish_reason: finish }];
  return `data: ${JSON.stringify({ id: 'cmpl-recorded', object: 'text_completion', created: 1_795_422_691, choices })}\n\n`;
}
