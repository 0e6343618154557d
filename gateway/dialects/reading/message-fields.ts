import type { Verdict } from './request-fields.ts';

/** What becomes of a field within a message: as of a request's fields, but that messages are read by code of their own. */
export type Inside = Readonly<Record<string, Extract<Verdict, { kind: 'own' | 'ignored' | 'refused' }>>>;
const own = { kind: 'own' } as const;
const ignored = (why: string) => ({ kind: 'ignored', why }) as const;
const refused = (why: string) => ({ kind: 'refused', why }) as const;

/** An engine takes it for the picture's cache key, whosever it is: one caller could be shown another's picture. */
const UUID = refused('send the picture itself');
const CACHED = ignored('equal beginnings are found without it, apart for each key');

/** Of a message of every route but `/v1/responses`; others are ignored and named. */
export const MESSAGE: Inside = {
  role: own,
  content: own,
  name: own,
  tool_calls: own,
  tool_call_id: own,
  /** of an assistant without content */
  refusal: own,
  /** of an assistant */
  reasoning: own,
  /** what vLLM called it before */
  reasoning_content: own,
  annotations: ignored('marks in an earlier answer are no part of its text'),
  audio: refused('answers are text'),
  function_call: refused('use tool_calls'),
  tools: refused('put them beside the messages'),
  task: refused('no model here knows tasks'),
};

/** Of a part of its content; others are ignored and named. */
export const PART: Inside = {
  type: own,
  text: own,
  image_url: own,
  refusal: own,
  uuid: UUID,
  prompt_cache_breakpoint: CACHED,
};

/** Of the object `image_url` of a part; others are ignored and named. */
export const IMAGE_URL: Inside = {
  url: own,
  uuid: UUID,
  detail: ignored('the engine tiles every picture alike'),
};

/** Of a message of `/v1/responses`; others are refused, as are those of its parts. */
export const ITEM: Inside = {
  type: own,
  role: own,
  content: own,
  status: own,
  id: ignored('nothing is stored'),
  phase: ignored('no model here knows phases'),
  cache_control: CACHED,
};

/** Of a part of the caller's. */
export const INPUT_PART: Inside = { type: own, text: own, prompt_cache_breakpoint: CACHED, cache_control: CACHED };
export const INPUT_IMAGE: Inside = {
  type: own,
  image_url: own,
  detail: own,
  prompt_cache_breakpoint: CACHED,
  cache_control: CACHED,
};

/** Of a part of an earlier answer. */
export const SAID_PART: Inside = {
  type: own,
  text: own,
  refusal: own,
  annotations: ignored('marks in an earlier answer are no part of its text'),
  logprobs: ignored('they are no part of its text'),
  prompt_cache_breakpoint: CACHED,
  cache_control: CACHED,
};
