import { z } from 'zod';
import { readEngineRequest } from '../intake/engine-request.ts';
import type { EventWatch } from './engine/event-watch.ts';

const Members = z.looseObject({});
/** One token, not streamed, of the same request. */
const PLAIN = { stream: false, max_output_tokens: 1 } as const;
const NOTHING = Buffer.alloc(0);

/** Asks an engine what it has against a request of `/v1/responses`. @param original the engine's request of the stream */
export function refusalProbe(original: Buffer): Buffer {
  const request = readEngineRequest(original);
  return request.write({ ...Members.parse(request.body), ...PLAIN });
}

/** The answer to a probe: where it is no refusal nothing of it belongs to the stream, which is as lost as before. */
export const PROBED: EventWatch = {
  take: () => NOTHING,
  done: false,
  isFinished: false,
  usage: undefined,
  failure: undefined,
  refusal: undefined,
};
