import { z } from 'zod';
import type { Failure } from '../../failure.ts';
import { reportedFault } from './failure.ts';

/** In the form of vLLM and in those of other servers. */
const EngineError = z
  .looseObject({ message: z.string(), code: z.int().min(400).max(599).optional().catch(undefined) })
  .or(z.string().transform((message) => ({ message, code: undefined })));
const Blamed = z.object({ error: z.unknown().optional() });

/** An error that an engine reports after it answered 200: in an event of a stream, or in the body of an answer. */
export interface ReportedError {
  readonly failure: Failure;
  /** for a refusal: the status and body that vLLM sends when it refuses before its 200 */
  readonly refusal: { readonly status: number; readonly body: Buffer } | undefined;
}

/** @param error the engine's report, in any form */
export function reportedError(error: unknown): ReportedError {
  const { message = 'unreadable error', code = 0 } = EngineError.safeParse(error).data ?? {};
  const isRefusal = code >= 400 && code < 500;
  return {
    failure: reportedFault(message),
    refusal: isRefusal ? { status: code, body: Buffer.from(JSON.stringify({ error })) } : undefined,
  };
}

/** @returns the error in an answer or event, whatever else it holds; undefined if there is none */
export function errorIn(answer: unknown): unknown {
  return Blamed.safeParse(answer).data?.error ?? undefined;
}
