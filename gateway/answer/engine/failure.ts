import { z } from 'zod';
import { saysEngineDied, saysEngineGone } from '#contract/engine-gone';
import { isRefusal } from '#contract/engine-status';
import { Failure } from '../../failure.ts';
import { isAboutGrammar, knownSentence } from './words.ts';
import { parseJson, withoutMark } from './sse.ts';

const EngineErrorBody = z.object({ error: z.object({ message: z.string(), param: z.string().nullish() }) });
/** Params of vLLM's error for a prompt that is too long (source: recorded answers of vLLM 0.32 and 0.33). */
const TOO_LONG: ReadonlySet<string> = new Set(['input_tokens', 'input_text']);

const UNFINISHED = 'the model process did not finish its answer';

/** An engine names fields of its own API; any other text could be the caller's. */
const FIELD = /^[\w.[\]-]{1,64}$/;
const GRAMMAR = 'the engine cannot build the grammar, regular expression or schema of this request';

/**
 * The client's failure for an engine's error status. A refusal keeps its status. Any other status is the service's
 * fault, unless the error concerns the caller's grammar. The engine's sentence may quote the prompt: the client gets it
 * if its form is known, and the log never has it. `worker_lost` means that another engine may succeed. After an
 * engine's own 500 one other engine is tried, because the request can be the cause. The same happens after a refusal in
 * a sentence that vLLM does not have, because the engine may be unhealthy.
 * @param messagesParam path of the messages in the caller's body
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

/** Failure of an answer in which the engine reports an error after its 200, streamed or not. @param said the engine's message */
export function reportedFault(said: string): Failure {
  return faultOf(undefined, said, UNFINISHED);
}

/**
 * Failure of an incomplete answer without an error of the engine: another engine may succeed.
 * @param cause what is missing or wrong, in the gateway's own words
 */
export function unfinished(cause: string): Failure {
  return new Failure('worker_lost', UNFINISHED, { cause });
}

/** Failure of an answer that is over a size limit. @param cause which limit, in words of ours */
export function oversized(cause: string): Failure {
  return new Failure('engine_failed', UNFINISHED, { cause, elsewhere: true });
}

function faultOf(status: number | undefined, message: string, told: string): Failure {
  const isGone = saysEngineGone(message);
  if (isGone || status === 503)
    return new Failure('worker_lost', told, {
      cause: isGone ? 'the engine reports that it is stopping' : 'engine answered 503',
      engineDied: saysEngineDied(message),
    });
  if (isAboutGrammar(message)) return new Failure('engine_refused', knownSentence(message) ?? GRAMMAR);
  const what = status === undefined ? 'the engine reported an error after a 200' : `engine answered ${status}`;
  const cause = `${what}, in ${message.length} characters`;
  return new Failure('engine_failed', told, { cause, elsewhere: true });
}
