import type { ServiceClass } from '#contract/service-class';

/** vLLM writes it in each complete answer of a chat. Within a text these quotes would be escaped. */
const UNSET = '"service_tier":null';

/** The engine's complete answer with the class of service that the request got. Absent class: the same bytes. */
export function withServiceTier(answer: Buffer, serviceTier: ServiceClass | undefined): Buffer {
  const at = serviceTier === undefined ? -1 : answer.indexOf(UNSET);
  if (at < 0) return answer;
  return Buffer.concat([
    answer.subarray(0, at),
    Buffer.from(`"service_tier":"${serviceTier}"`),
    answer.subarray(at + UNSET.length),
  ]);
}
