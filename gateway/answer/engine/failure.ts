import { z } from 'zod';
import { saysEngineDied, saysEngineGone } from '#contract/engine-gone';
import { isRefusal } from '#contract/engine-status';
import { Failure } from '../../failure.ts';
import { isAboutGrammar, knownSentence } from './words.ts';
import { parseJson, withoutMark } from './sse.ts';

const EngineErrorBody = z.object({ error: z.object({ message: z.string(), param: z.string().nullish() }) });
/** Params by which vLLM says that the prompt is too long (source: recorded answers of vLLM 0.32 and 0.33). */
const TOO_LONG: ReadonlySet<string> = new Set(['input_tokens', 'input_text']);

const UNFINISHED = 'the model process did not finish its answer';

/** An engine names fields of its own API; anything else could be the caller's text. */
const FIELD = /^[\w.[\]-]{1,64}$/;
const GRAMMAR = 'the engine cannot build the grammar, regular expression or schema of this request';

/**
 * What the client is told when the engine answered with an error status: a refusal keeps its status, anything else is our
 * fault, unless it tells of the caller's grammar. The engine's own sentence may quote the prompt: it is told where its
 * shape is known, and logged nowhere. `worker_lost` where another engine may do better; after an engine's 500 by itself one
 * other engine is tried, as a request can cause it, and after a refusal in words that no vLLM has, as the engine may be ill.
 * @param messagesParam where the caller wrote the messages
 */
export function engineFailure(status: number, body: Buffer, messagesParam: string): Failure {
  const parsed = EngineErrorBody.safeParse(parseJson(withoutMark(body)));
  const message = parsed.success ? parsed.data.error.message : '';
  const param = parsed.data?.error.param ?? undefined;
  if (!isRefusal(status)) return faultOf(status, message, 'the model process failed on this request');
  const told = knownSentence(message);
  if (param !== undefined && TOO_LONG.has(param))
    return new Failure('context_length_exceeded', told ?? 'the prompt is longer than the context of the model', {
      param: messagesParam,
    });
  const known = told ?? (isAboutGrammar(message) ? GRAMMAR : undefined);
  return new Failure('engine_refused', known ?? 'the model process refused this request', {
    status,
    elsewhere: known === undefined,
    ...(param !== undefined && FIELD.test(param) ? { param } : {}),
  });
}

/**
 * A stream that the engine broke off with an error event.
 * @param said the engine's words
 */
export function brokenStream(said: string): Failure {
  return faultOf(undefined, said, UNFINISHED);
}

/**
 * An answer that is not whole, without a word of the engine about it: another engine may do better.
 * @param cause what is missing or wrong, in words of ours
 */
export function unfinished(cause: string): Failure {
  return new Failure('worker_lost', UNFINISHED, { cause });
}

function faultOf(status: number | undefined, message: string, told: string): Failure {
  const isGone = saysEngineGone(message);
  if (isGone || status === 503)
    return new Failure('worker_lost', told, {
      cause: isGone ? 'the engine says that it ends' : 'engine answered 503',
      engineDied: saysEngineDied(message),
    });
  if (isAboutGrammar(message)) return new Failure('engine_refused', knownSentence(message) ?? GRAMMAR);
  const what = status === undefined ? 'the engine ended the stream with an error' : `engine answered ${status}`;
  const cause = `${what}, in ${message.length} characters`;
  return new Failure('engine_failed', told, { cause, elsewhere: true });
}
