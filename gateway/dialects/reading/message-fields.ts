import type { Verdict } from './request-fields.ts';

/** Verdicts on fields within a message, as in the table of request fields; but messages are read by their own code. */
export type Inside = Readonly<Record<string, Extract<Verdict, { kind: 'own' | 'ignored' | 'refused' }>>>;
const own = { kind: 'own' } as const;
const ignored = (why: string) => ({ kind: 'ignored', why }) as const;
const refused = (why: string) => ({ kind: 'refused', why }) as const;

/** An engine uses it as the picture's cache key for all callers, so one could get another's picture. */
const UUID = refused('send the picture itself');
const CACHED = ignored('equal beginnings of prompts are cached without it, separately for each key');

/** Fields of a message on every route except `/v1/responses`; others are ignored and named. */
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
  /** vLLM's former name */
  reasoning_content: own,
  annotations: ignored('marks in an earlier answer are no part of its text'),
  audio: refused('answers are text'),
  function_call: refused('use tool_calls'),
  tools: refused('send them beside the messages'),
  task: refused('no model here knows tasks'),
};

/** Fields of a part of the content; others are ignored and named. */
export const PART: Inside = {
  type: own,
  text: own,
  image_url: own,
  refusal: own,
  uuid: UUID,
  prompt_cache_breakpoint: CACHED,
};

/** Fields of the object `image_url` of a part; others are ignored and named. */
export const IMAGE_URL: Inside = {
  url: own,
  uuid: UUID,
  detail: ignored('the engine tiles every picture alike'),
};

/** Fields of a message of `/v1/responses`; other fields, also of its parts, are refused. */
export const ITEM: Inside = {
  type: own,
  role: own,
  content: own,
  status: own,
  id: ignored('the message itself counts'),
  phase: ignored('no model here knows phases'),
  cache_control: CACHED,
};

/** Fields of a caller's part. */
export const INPUT_PART: Inside = { type: own, text: own, prompt_cache_breakpoint: CACHED, cache_control: CACHED };
export const INPUT_IMAGE: Inside = {
  type: own,
  image_url: own,
  detail: own,
  prompt_cache_breakpoint: CACHED,
  cache_control: CACHED,
};

/** Fields of a part of an earlier answer. */
export const SAID_PART: Inside = {
  type: own,
  text: own,
  refusal: own,
  annotations: ignored('marks in an earlier answer are no part of its text'),
  logprobs: ignored('they are no part of its text'),
  prompt_cache_breakpoint: CACHED,
  cache_control: CACHED,
};
