import { z } from 'zod';
import { RESPONSE_FORMAT, STRUCTURED_OUTPUTS } from './answer-format.ts';
import * as form from './field-forms.ts';
import type { Field } from './fields.ts';
import { listOf } from './limited.ts';
import { LIMITS } from './limits.ts';
import { INCLUDE, INSTRUCTIONS, QUIET_STREAM, REASONING, TEXT } from './responses-forms.ts';

/**
 * The verdict on a field. A field without a verdict on a route is unknown there. It is ignored and named, refused on
 * `/v1/responses`, and an extra parameter on Azure's inference routes.
 */
export type Verdict =
  /** read by the route's own code; with `field`, its value is checked like the others */
  | { readonly kind: 'own'; readonly field?: Field }
  /** checked, and passed to the engine under its own name */
  | { readonly kind: 'served'; readonly field: Field }
  /** only the value that is used anyway is accepted; another would change the answer, and is refused */
  | { readonly kind: 'fixed'; readonly field: Field; readonly why: string }
  /** the answer is the same without it: accepted, and named in `x-penstock-ignored` */
  | { readonly kind: 'ignored'; readonly why: string }
  /** the engine would act on it and a caller must not control that, or the answer would silently lack it */
  | { readonly kind: 'refused'; readonly why: string };

/** A column of the table. Azure OpenAI's routes have those of chat and completions. */
export type Route =
  | 'chat'
  | 'completions'
  | 'responses'
  | 'tokenize'
  | 'inference-chat'
  | 'inference-completions'
  | 'score-pictures'
  | 'score-chat'
  | 'score-prompts';

type Cell = readonly [verdict: Verdict, ...routes: Route[]];
const own = (...routes: Route[]): Cell => [{ kind: 'own' }, ...routes];
const checked = (field: Field, ...routes: Route[]): Cell => [{ kind: 'own', field }, ...routes];
const served = (field: Field, ...routes: Route[]): Cell => [{ kind: 'served', field }, ...routes];
const fixed = (field: Field, why: string, ...routes: Route[]): Cell => [{ kind: 'fixed', field, why }, ...routes];
const ignored = (why: string, ...routes: Route[]): Cell => [{ kind: 'ignored', why }, ...routes];
const refused = (why: string, ...routes: Route[]): Cell => [{ kind: 'refused', why }, ...routes];

const OPENAI = ['chat', 'completions'] as const;
const GENERATING = [...OPENAI, 'responses'] as const;
const TEMPLATED = ['chat', 'tokenize'] as const;
const EVERY = [...GENERATING, 'tokenize'] as const;
const AZURE = ['inference-chat', 'inference-completions'] as const;
const SCORE = ['score-pictures', 'score-chat', 'score-prompts'] as const;

const THE_GATEWAY = 'the gateway decides it';
const THE_CARD = 'the model card decides it';
const THE_TEMPLATE = "the model's own template is used";
const UNCUT = 'the gateway never shortens a prompt';
const BY_KEY = 'the key identifies the caller';
const CACHED = 'equal beginnings of prompts are cached without it, separately for each key';
const RENDERING = 'it is part of a rendered prompt, which the gateway does not return';
const IN_CHAT = 'send them with messages to /v1/chat/completions';
const STATELESS =
  'it is not served here; name the response before this one as previous_response_id, or send the entire conversation as input';
const NO_TOOLS = 'tools are served on /v1/chat/completions if the model card has them';
const UNREAD = 'vLLM no longer reads it; use structured_outputs or response_format';
const LENGTH = 'call it max_output_tokens';
const label = served(form.LABEL, 'responses');
const sampled = (field: Field): Cell => served(field, ...GENERATING, ...SCORE);
const unmoderated = refused('answers are not moderated here', 'chat', 'responses');

/** Every field of vLLM's protocol and of OpenAI's and Azure's typed clients, and a few more that real callers send. */
export const REQUEST_FIELDS: Readonly<Record<string, readonly Cell[]>> = {
  // The prompt, the model, the length and number of answers, and how they are sent.
  messages: [
    own(...TEMPLATED, 'inference-chat'),
    refused('send them to /v1/chat/completions', 'completions'),
    refused('call them input, or send them to /v1/chat/completions', 'responses'),
  ],
  prompt: [
    own('completions', 'tokenize', 'inference-completions'),
    refused('send it to /v1/completions', 'chat'),
    refused(STATELESS, 'responses'),
  ],
  input: [own('responses'), refused('call it messages', 'chat')],
  instructions: [checked(INSTRUCTIONS, 'responses'), refused('put them into a message with the role system', 'chat')],
  model: [own(...EVERY, ...AZURE)],
  max_completion_tokens: [own('chat'), refused('call it max_tokens', 'completions'), refused(LENGTH, 'responses')],
  max_tokens: [own(...OPENAI, ...AZURE, ...SCORE), refused(LENGTH, 'responses')],
  max_new_tokens: [own(...OPENAI, ...AZURE, ...SCORE), refused(LENGTH, 'responses')],
  max_gen_len: [own(...SCORE)],
  max_output_tokens: [own('responses'), refused('call it max_completion_tokens', 'chat')],
  n: [own(...OPENAI, ...SCORE)],
  best_of: [checked(form.BEST_OF, 'completions', ...SCORE)],
  stream: [own(...GENERATING, ...AZURE)],
  stream_options: [own(...OPENAI), checked(QUIET_STREAM, 'responses')],

  // How the next token is chosen.
  temperature: [sampled(form.range(0, 2)), own(...AZURE)],
  top_p: [sampled(form.SHARE), own(...AZURE)],
  top_k: [sampled(form.atLeast(-1))],
  min_p: [served(form.range(0, 1), ...GENERATING)],
  presence_penalty: [sampled(form.range(-2, 2)), own(...AZURE)],
  frequency_penalty: [sampled(form.range(-2, 2)), own(...AZURE)],
  repetition_penalty: [served(form.ABOVE_0, ...GENERATING)],
  use_beam_search: [served(form.FLAG, ...OPENAI, ...SCORE)],
  length_penalty: [served(form.ANY_NUMBER, ...OPENAI, ...SCORE)],
  do_sample: [checked(form.FLAG, ...SCORE)],
  seed: [served(form.SEED, ...GENERATING), own(...AZURE)],
  logit_bias: [served(form.LOGIT_BIAS, ...GENERATING)],
  bad_words: [served(form.BAD_WORDS, ...OPENAI)],
  allowed_token_ids: [served(form.ALLOWED_TOKENS, ...OPENAI)],
  watermarking: [refused('the operator decides it', ...GENERATING)],

  // The end of the answer.
  stop: [sampled(form.STOP), own(...AZURE)],
  stop_token_ids: [sampled(form.STOP_TOKENS)],
  eos_token_id: [checked(form.END_TOKENS, ...SCORE)],
  include_stop_str_in_output: [served(form.FLAG, ...GENERATING)],
  ignore_eos: [sampled(form.FLAG)],
  min_tokens: [served(form.atLeast(0), ...OPENAI)],
  repetition_detection: [served(form.REPETITION, ...OPENAI)],

  // The form of the answer, and further information about it.
  response_format: [served(RESPONSE_FORMAT, ...OPENAI), own('inference-chat')],
  structured_outputs: [served(STRUCTURED_OUTPUTS, ...GENERATING)],
  text: [served(TEXT, 'responses')],
  logprobs: [served(form.FLAG, 'chat', 'score-pictures', 'score-chat'), served(form.upTo(20), 'completions')],
  top_logprobs: [served(form.upTo(20), 'chat', 'responses')],
  prompt_logprobs: [served(form.upTo(20), ...OPENAI)],
  logprob_token_ids: [served(form.LOGGED_TOKENS, ...OPENAI)],
  include: [served(INCLUDE, 'responses')],
  skip_special_tokens: [sampled(form.FLAG)],
  spaces_between_special_tokens: [
    served(form.FLAG, ...OPENAI),
    fixed(form.nothingBut(true), 'not every engine has it on this route', 'responses'),
  ],
  echo: [served(form.FLAG, ...OPENAI)],
  return_full_text: [checked(form.FLAG, 'score-prompts')],
  return_token_ids: [served(form.FLAG, ...OPENAI)],
  return_tokens_as_token_ids: [served(form.FLAG, ...OPENAI)],
  return_token_strs: [served(form.FLAG, 'tokenize')],
  return_prompt_text: [fixed(form.nothingBut(false), 'an answer does not repeat its prompt', 'chat')],
  return_weight_versions: [fixed(form.nothingBut(false), 'the weights of an engine never change', ...OPENAI)],
  enable_response_messages: [fixed(form.nothingBut(false), 'an answer does not repeat its prompt', 'responses')],
  return_token_offsets: [ignored(RENDERING, ...OPENAI)],
  return_mm_kwargs: [ignored(RENDERING, ...GENERATING)],
  mm_payload: [ignored(RENDERING, ...GENERATING)],
  routed_experts_prompt_start: [ignored('no answer has information about experts', ...OPENAI)],
  stream_interval: [served(form.atLeast(1), ...OPENAI)],
  modalities: [
    fixed(
      { schema: listOf(LIMITS.include, z.literal('text')), form: 'a list with only text' },
      'answers are text',
      'chat',
    ),
  ],
  audio: [refused('answers are text', 'chat')],
  verbosity: [fixed(form.nothingBut('medium'), 'the model has no such setting; ask for it in a message', 'chat')],
  moderation: [unmoderated],

  // How the prompt is written.
  add_special_tokens: [served(form.FLAG, ...OPENAI, 'tokenize')],
  add_generation_prompt: [served(form.FLAG, ...TEMPLATED, 'score-chat')],
  continue_final_message: [served(form.FLAG, ...TEMPLATED)],
  chat_template: [refused(THE_TEMPLATE, ...TEMPLATED)],
  chat_template_kwargs: [refused(THE_TEMPLATE, ...TEMPLATED, 'responses')],
  documents: [refused('put their text into a message', 'chat')],
  mm_processor_kwargs: [refused(THE_CARD, ...TEMPLATED, 'responses')],
  media_io_kwargs: [refused(THE_CARD, ...TEMPLATED, 'responses')],
  prompt_embeds: [refused('send the prompt as text', 'completions')],
  suffix: [refused('the model cannot fill a gap', 'completions')],
  truncate_prompt_tokens: [refused(UNCUT, ...EVERY)],
  truncation_side: [refused(UNCUT, ...EVERY)],
  truncation: [served({ schema: z.literal('disabled'), form: `disabled: ${UNCUT}` }, 'responses')],
  web_search_options: [refused('there is no web search', 'chat')],
  data_sources: [refused('there is no search; put the text into a message', 'chat')],

  // Tools and reasoning.
  tools: [own(...TEMPLATED, 'inference-chat'), refused(IN_CHAT, 'completions'), refused(NO_TOOLS, 'responses')],
  tool_choice: [
    own('chat', 'inference-chat'),
    ignored('the tokens of tools are counted whether they are called or not', 'tokenize'),
    served(form.NO_TOOL_CHOICE, 'responses'),
  ],
  parallel_tool_calls: [own('chat'), served(form.FLAG, 'responses')],
  max_tool_calls: [served({ schema: z.int().min(1), form: 'a whole number, 1 or more' }, 'responses')],
  functions: [refused('use tools', 'chat')],
  function_call: [fixed(form.NO_FUNCTION, 'use tool_choice', 'chat')],
  reasoning: [served(REASONING, 'responses')],
  reasoning_effort: [served(form.REASONING_EFFORT, 'chat')],
  include_reasoning: [served(form.FLAG, 'chat', 'responses')],
  thinking_token_budget: [served(form.THINKING_BUDGET, ...OPENAI)],

  // State, accounts and prices.
  background: [checked(form.FLAG, 'responses')],
  // A chat needs only the answer itself. A later request for the stored one is refused by name.
  store: [ignored('nothing is stored', 'chat'), checked(form.FLAG, 'responses')],
  previous_response_id: [checked(form.ID, 'responses')],
  previous_input_messages: [refused(STATELESS, 'responses')],
  conversation: [refused(STATELESS, 'responses')],
  context_management: [refused(STATELESS, 'responses')],
  metadata: [ignored('labels of a stored answer', 'chat'), served(form.METADATA, 'responses')],
  user: [ignored(BY_KEY, ...OPENAI), label],
  safety_identifier: [ignored(BY_KEY, 'chat'), label],
  prompt_cache_key: [ignored(CACHED, 'chat'), label],
  prompt_cache_options: [ignored(CACHED, 'chat', 'responses')],
  prompt_cache_retention: [ignored(CACHED, 'chat', 'responses')],
  service_tier: [checked(form.SERVICE_TIER, 'chat'), served(form.SERVICE_TIER, 'responses')],
  prediction: [ignored('it could only make the same answer faster', 'chat')],
  session_id: [ignored('an engine is chosen without it', ...OPENAI), refused(THE_GATEWAY, 'responses')],

  // Fields that an engine would accept from any caller.
  priority: [fixed(form.nothingBut(0), 'the gateway decides the order', ...EVERY)],
  request_id: [refused('send the header x-request-id', ...EVERY)],
  cache_salt: [refused(THE_GATEWAY, ...EVERY)],
  kv_transfer_params: [refused(THE_GATEWAY, ...EVERY)],
  ec_transfer_params: [refused(THE_GATEWAY, ...EVERY)],
  vllm_xargs: [refused(THE_GATEWAY, ...EVERY)],
  ...Object.fromEntries(
    ['json', 'regex', 'choice', 'grammar', 'json_object', 'whitespace_pattern', 'decoding_backend'].map((name) => [
      `guided_${name}`,
      [refused(UNREAD, ...EVERY)],
    ]),
  ),
};

/** The verdicts of one route, by field. */
export type Column = ReadonlyMap<string, Verdict>;

/** The verdict on each known field of a route. */
export function columnOf(route: Route): Column {
  const verdicts = Object.entries(REQUEST_FIELDS).flatMap(([name, cells]) =>
    cells.flatMap(([verdict, ...routes]) => (routes.includes(route) ? [[name, verdict] as const] : [])),
  );
  return new Map(verdicts);
}
