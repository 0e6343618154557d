import type { FailureCode } from '../../gateway/failure.ts';
import { ALL, CHATS, COMPLETIONS, OPENAI, score, type Route } from './route.ts';

/** One bad parameter: the mistake in a user's words, its name and value, the routes that know it, the expected answer. */
export interface ParameterFault {
  readonly fault: string;
  readonly name: string;
  readonly value: unknown;
  readonly routes: readonly Route[];
  readonly code: FailureCode;
  /** the place in the parameter that the refusal names, such as `[0]` */
  readonly inside: string;
  /** other fields that it needs */
  readonly beside: object;
}

const NAMING_A_MODEL = OPENAI.filter(({ ignoresModel }) => ignoresModel !== true);

type Options = Partial<Pick<ParameterFault, 'code' | 'inside' | 'beside'>>;
function bad(fault: string, name: string, value: unknown, routes = ALL, options: Options = {}): ParameterFault {
  return { fault, name, value, routes, code: 'invalid_request', inside: '', beside: {}, ...options };
}
const CARD = { code: 'max_tokens_exceeded' } as const;
const BATCH = { code: 'batch_not_supported' } as const;
const NOT_YOURS = { code: 'unsupported_parameter' } as const;

const LENGTH = [
  bad('an answer of no tokens', 'max_tokens', 0),
  bad('a negative length', 'max_tokens', -5),
  bad('a length with a fraction', 'max_tokens', 1.5),
  bad('a length as text', 'max_tokens', '64'),
  bad('a length as a list', 'max_tokens', [64]),
  bad('a length that is no safe number', 'max_tokens', 1e300),
  bad('a length above the card', 'max_tokens', 4_097, ALL, CARD),
  bad('a length above the context', 'max_tokens', 200_000, ALL, CARD),
  bad("a length above the card, by Azure's name", 'max_new_tokens', 5_000, ALL, CARD),
  bad('a length above the card, by the newer name', 'max_completion_tokens', 5_000, CHATS, CARD),
  bad('a length above the card, by the older name', 'max_gen_len', 5_000, [score], CARD),
  bad("a length as text, by Azure's name", 'max_new_tokens', 'long'),
  bad('a least length above the largest', 'min_tokens', 20, OPENAI, { beside: { max_tokens: 6 } }),
];

const RANGES = [
  bad('temperature as a word', 'temperature', 'hot'),
  bad('temperature as a truth value', 'temperature', true),
  bad('temperature above 2', 'temperature', 2.1),
  bad('temperature below 0', 'temperature', -0.1),
  bad('top_p of 0', 'top_p', 0),
  bad('top_p above 1', 'top_p', 1.01),
  bad('top_k with a fraction', 'top_k', 1.5),
  bad('top_k below -1', 'top_k', -2),
  bad('presence_penalty above 2', 'presence_penalty', 9),
  bad('frequency_penalty below -2', 'frequency_penalty', -2.5),
  bad('length_penalty as text', 'length_penalty', 'x'),
  bad('min_p above 1', 'min_p', 1.5, OPENAI),
  bad('repetition_penalty of 0', 'repetition_penalty', 0, OPENAI),
  bad('a seed with a fraction', 'seed', 0.5, OPENAI),
  bad('min_tokens below 0', 'min_tokens', -1, OPENAI),
  bad('a number as stop text', 'stop', 5),
  bad('an empty text among stop texts', 'stop', ['a', ''], ALL, { inside: '[1]' }),
  bad('half of an emoji as stop text', 'stop', '\ud83d'),
  bad('a text among token ids', 'stop_token_ids', ['x'], ALL, { inside: '[0]' }),
  bad('a negative token id', 'stop_token_ids', [-1], ALL, { inside: '[0]' }),
  bad('ignore_eos as a word', 'ignore_eos', 'yes'),
  bad('skip_special_tokens as a number', 'skip_special_tokens', 1),
  bad('use_beam_search as a word', 'use_beam_search', 'yes'),
  bad('more top_logprobs than 20', 'top_logprobs', 50, CHATS, { beside: { logprobs: true } }),
  bad('top_logprobs without logprobs', 'top_logprobs', 2, CHATS),
  bad('logprobs as a number', 'logprobs', 3, [...CHATS, score]),
  bad('logprobs as a truth value', 'logprobs', true, COMPLETIONS),
  bad('more logprobs than 20', 'logprobs', 21, COMPLETIONS),
  bad('more prompt_logprobs than 20', 'prompt_logprobs', 21, OPENAI),
  bad('a word as biased token', 'logit_bias', { river: 1 }, OPENAI, { inside: '.river' }),
  bad('a bias above 100', 'logit_bias', { '12': 101 }, OPENAI, { inside: '.12' }),
  bad('bad_words with an empty word', 'bad_words', [''], OPENAI, { inside: '[0]' }),
  bad('an unknown answer format', 'response_format', { type: 'xml' }, OPENAI, { inside: '.type' }),
  bad('a format without its schema', 'response_format', { type: 'json_schema' }, OPENAI, { inside: '.json_schema' }),
  bad('an unknown effort', 'reasoning_effort', 'utmost', CHATS),
  bad('do_sample as a word', 'do_sample', 'no', [score]),
  bad('eos_token_id as a word', 'eos_token_id', 'end', [score]),
];

const CHOICES = [
  bad('no answers', 'n', 0),
  bad('a negative number of answers', 'n', -1),
  bad('half an answer', 'n', 1.5),
  bad('several answers', 'n', 2, ALL, BATCH),
  bad('200,000 answers', 'n', 200_000, ALL, BATCH),
  bad('several answers at temperature 0', 'n', 2, ALL, { beside: { temperature: 0 } }),
  bad('answers to choose from', 'best_of', 4, COMPLETIONS),
];

const STREAM_AND_MODEL = [
  bad('an unknown word for stream', 'stream', 'maybe', OPENAI),
  bad('stream as a number', 'stream', 1, OPENAI),
  bad('stream_options without stream', 'stream_options', { include_usage: true }, OPENAI),
  bad('stream_options as a text', 'stream_options', 'usage', OPENAI, { beside: { stream: true } }),
  bad('include_usage as a word', 'stream_options', { include_usage: 'yes' }, OPENAI, {
    beside: { stream: true },
    inside: '.include_usage',
  }),
  bad('a model that is not served', 'model', 'gpt-4o', NAMING_A_MODEL, { code: 'model_not_found' }),
  bad('a number as model', 'model', 5, OPENAI),
];

const TOOL = { type: 'function', function: { name: 'paint' } };
const TOOLS = [
  bad('a tool, which this model does not call', 'tools', [TOOL], OPENAI, NOT_YOURS),
  bad('a malformed tool', 'tools', [{ type: 'function' }], CHATS, { inside: '[0].function' }),
  bad('a demanded call without a tool', 'tool_choice', 'required', CHATS, { beside: { tools: [] } }),
  bad('an unknown choice of tools', 'tool_choice', 'maybe', CHATS),
];

const BOTH_ROUTES = {
  priority: -1,
  request_id: 'mine',
  truncate_prompt_tokens: 5,
  truncation_side: 'left',
  cache_salt: 'another',
  kv_transfer_params: { a: 1 },
  ec_transfer_params: { a: 1 },
  vllm_xargs: { a: 1 },
};
const CHAT_ONLY = {
  mm_processor_kwargs: { num_crops: 99 },
  media_io_kwargs: { image: {} },
  chat_template: '{{ messages }}',
  chat_template_kwargs: { a: 1 },
  documents: [{ text: 'x' }],
  functions: [{ name: 'paint' }],
  function_call: { name: 'f' },
  audio: { voice: 'x' },
  web_search_options: { a: 1 },
};
const COMPLETIONS_ONLY = { suffix: 'end', prompt_embeds: 'AAAA', messages: [{ role: 'user', content: 'hi' }] };

const refused = (fields: object, routes: readonly Route[]): ParameterFault[] =>
  Object.entries(fields).map(([name, value]) => bad(`${name}, not a client's to set`, name, value, routes, NOT_YOURS));

export const PARAMETER_FAULTS: readonly ParameterFault[] = [
  ...LENGTH,
  ...RANGES,
  ...CHOICES,
  ...STREAM_AND_MODEL,
  ...TOOLS,
  ...refused(BOTH_ROUTES, OPENAI),
  ...refused(CHAT_ONLY, CHATS),
  ...refused(COMPLETIONS_ONLY, COMPLETIONS),
];
