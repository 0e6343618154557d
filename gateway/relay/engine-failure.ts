import { z } from 'zod';
import { saysEngineGone } from '#contract/engine-gone';
import { Failure } from '#contract/failure';
import { MALFORMED } from './engine-events.ts';

const EngineErrorBody = z.object({ error: z.object({ message: z.string(), param: z.string().nullish() }) });
/** Params by which vLLM says that the prompt is too long (source: recorded answers of vLLM 0.32 and 0.33). */
const TOO_LONG: ReadonlySet<string> = new Set(['input_tokens', 'input_text']);

/** Answers of the engine's routes: to a request for text, and of `/tokenize`. */
const Answered = z.union([
  z.object({ choices: z.array(z.object({ finish_reason: z.string().nullish() })) }),
  z.object({ count: z.number() }).transform(() => ({ choices: [] })),
]);

/**
 * What the client is told when the engine answered with an error status: a 4xx keeps status and message, anything else
 * is our fault. `worker_lost` where another engine may do better; an engine's 500 by itself is no such sign, as a
 * request can cause it.
 * @param messagesParam where the caller wrote the messages
 */
export function engineFailure(status: number, body: Buffer, messagesParam: string): Failure {
  const parsed = EngineErrorBody.safeParse(parseJson(body));
  const message = parsed.success ? parsed.data.error.message : '';
  const param = parsed.success ? (parsed.data.error.param ?? undefined) : undefined;
  if (status < 400 || status >= 500) {
    const lost = status === 503 || saysEngineGone(message);
    return new Failure(lost ? 'worker_lost' : 'engine_failed', 'the model process failed on this request', {
      cause: `engine answered ${String(status)}: ${message.slice(0, 500)}`,
    });
  }
  if (param !== undefined && TOO_LONG.has(param))
    return new Failure('context_length_exceeded', message, { param: messagesParam });
  const told = message === '' ? 'the model process refused this request' : message;
  return new Failure('engine_refused', told, { status, ...(param === undefined ? {} : { param }) });
}

/**
 * A stream that did not end as a whole one does.
 * @param said the engine's error event, if one came
 */
export function brokenStream(said: string | undefined): Failure {
  const lost = said === undefined || said === MALFORMED || saysEngineGone(said);
  return new Failure(lost ? 'worker_lost' : 'engine_failed', 'the model process did not finish its answer', {
    cause: said ?? 'the stream ended without [DONE]',
  });
}

/** A 200 whose generation was ended by a stopping server (`finish_reason: abort`), or that is no answer at all. */
export function abortedAnswer(body: Buffer): Failure | undefined {
  const parsed = Answered.safeParse(parseJson(body));
  if (parsed.success && !parsed.data.choices.some((choice) => choice.finish_reason === 'abort')) return undefined;
  return new Failure('worker_lost', 'the model process did not finish its answer', {
    cause: parsed.success ? 'finish_reason abort' : 'a 200 that holds no answer',
  });
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
