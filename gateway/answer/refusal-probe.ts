import { z } from 'zod';
import { readEngineRequest } from '../intake/engine-request.ts';
import type { EventWatch } from './engine/event-watch.ts';

const Members = z.looseObject({});
/** The same request for one token, not streamed. */
const PLAIN = { stream: false, max_output_tokens: 1 } as const;
const NOTHING = Buffer.alloc(0);

/** A request whose answer shows why an engine refuses a response. @param original the engine's request of the stream */
export function refusalProbe(original: Buffer): Buffer {
  const request = readEngineRequest(original);
  return request.write({ ...Members.parse(request.body), ...PLAIN });
}

/** Reads the answer to a probe. If it is no refusal, no part of it belongs to the stream, which stays lost. */
export const PROBED: EventWatch = {
  take: () => NOTHING,
  done: false,
  isFinished: false,
  usage: undefined,
  failure: undefined,
  refusal: undefined,
};
