import { z } from 'zod';

/**
 * Source: W3C Trace Context, `traceparent` of version 00: version, trace id, id of the span that comes before, flags.
 * The lowest bit of the flags tells that the trace is recorded.
 */
const PARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const MEMBER = String.raw`[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]`;
/** Source: the same, `tracestate`: up to 32 members, and here at most the 512 characters that every program must pass on. */
const STATE = new RegExp(String.raw`^${MEMBER}(?:[ \t]*,[ \t]*${MEMBER}){0,31}$`);

/** `traceparent` of a span. */
export const SpanPlace = z.string().regex(PARENT);

/** Where a span is: its trace and its id, as headers. It comes from callers, so both forms are checked. */
export const TraceContext = z.object({
  traceparent: SpanPlace,
  tracestate: z.string().max(512).regex(STATE).exactOptional(),
});
export type TraceContext = Readonly<z.infer<typeof TraceContext>>;

/** What a job tells about the trace of its request. */
export const JobTrace = TraceContext.extend({
  /** the `traceparent` of the attempt that was lost before this one */
  former: SpanPlace.exactOptional(),
  /** numbers of the request, under the names that OpenTelemetry has for them, such as `gen_ai.request.temperature` */
  asked: z.record(z.string().max(100), z.number()).exactOptional(),
});
export type JobTrace = Readonly<z.infer<typeof JobTrace>>;

/** @returns undefined if they are no context of a trace; a bad `tracestate` alone is left out, as W3C wants */
export function readTraceContext(traceparent: unknown, tracestate: unknown): TraceContext | undefined {
  const { success, data } = SpanPlace.safeParse(traceparent);
  if (!success) return undefined;
  const whole = TraceContext.safeParse({ traceparent: data, tracestate });
  return whole.success ? whole.data : { traceparent: data };
}
