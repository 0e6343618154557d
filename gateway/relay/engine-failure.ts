import { z } from 'zod';
import { Failure } from '#contract/failure';

const EngineErrorBody = z.object({ error: z.object({ message: z.string(), param: z.string().nullish() }) });
/** Params by which vLLM says that the prompt is too long (source: recorded answers of vLLM 0.32 and 0.33). */
const TOO_LONG: ReadonlySet<string> = new Set(['input_tokens', 'input_text']);

/**
 * What the client is told when the engine answered with an error status: a 4xx keeps status and message, anything else
 * is our fault.
 * @param messagesParam where the caller wrote the messages
 */
export function engineFailure(status: number, body: Buffer, messagesParam: string): Failure {
  const parsed = EngineErrorBody.safeParse(jsonOrText(body));
  const message = parsed.success ? parsed.data.error.message : '';
  const param = parsed.success ? (parsed.data.error.param ?? undefined) : undefined;
  if (status < 400 || status >= 500)
    return new Failure('engine_failed', 'the model process failed on this request', {
      cause: `engine answered ${String(status)}: ${message.slice(0, 500)}`,
    });
  if (param !== undefined && TOO_LONG.has(param))
    return new Failure('context_length_exceeded', message, { param: messagesParam });
  const told = message === '' ? 'the model process refused this request' : message;
  return new Failure('engine_refused', told, { status, ...(param === undefined ? {} : { param }) });
}

function jsonOrText(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
