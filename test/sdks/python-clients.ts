import { classesOf, type Client } from './client.ts';

const LANGCHAIN = {
  runtime: 'langchain',
  file: 'python/langchain_client.py',
  dialect: 'openai',
  classes: classesOf({
    400: 'OpenAIInvalidRequestError',
    401: 'OpenAIAuthenticationError',
    429: 'OpenAIRateLimitError',
    503: 'OpenAIAPIError',
    leave: 'CancelledError',
    broken: 'APIError',
  }),
} as const satisfies Omit<Client, 'name'>;

/** It reports an error code only for a 400 of some providers. */
const LITELLM = {
  runtime: 'litellm',
  file: 'python/litellm_client.py',
  classes: classesOf({
    400: 'BadRequestError',
    401: 'AuthenticationError',
    429: 'RateLimitError',
    503: 'ServiceUnavailableError',
    leave: 'CancelledError',
    broken: 'MidStreamFallbackError',
  }),
} as const satisfies Omit<Client, 'name'>;

const LLAMA_INDEX = {
  runtime: 'llama-index',
  file: 'python/llama_index_client.py',
  dialect: 'openai',
  classes: classesOf({
    400: 'BadRequestError',
    401: 'AuthenticationError',
    429: 'RateLimitError',
    503: 'InternalServerError',
    leave: 'CancelledError',
    broken: 'APIError',
  }),
} as const satisfies Omit<Client, 'name'>;

const INSPECT_AI = {
  runtime: 'inspect-ai',
  file: 'python/inspect_ai_client.py',
  classes: {
    tools: 'BadRequestError',
    'error 400': 'BadRequestError',
    leave: 'CancelledError',
    'leave a stream': 'CancelledError',
  },
  shortfalls: {
    'error 503': {
      outcome: { error: { class: 'InternalServerError', status: null } },
      why: 'a task gets the class of the error and learns that retries are over, but neither status nor sentence',
    },
  },
  lacks: { 'error 429': 'a 429 is waited out, whatever max_retries says' },
} as const satisfies Omit<Client, 'name'>;

const ONE_ANSWER = 'it asks for one text a question';
const LM_EVAL = {
  runtime: 'lm-eval',
  file: 'python/lm_eval_client.py',
  classes: { 'error 401': 'requests.exceptions.HTTPError', 'error 503': 'requests.exceptions.HTTPError' },
  outcomes: { text: { questions: 3, right: 1 } },
  lacks: {
    stream: ONE_ANSWER,
    'picture data': ONE_ANSWER,
    'picture address': ONE_ANSWER,
    'two turns': ONE_ANSWER,
    'two turns streamed': ONE_ANSWER,
    json: ONE_ANSWER,
    tools: ONE_ANSWER,
    'error 400': ONE_ANSWER,
    'error 429': 'as 503',
    leave: 'a program that runs to its end',
    'leave a stream': ONE_ANSWER,
  },
} as const satisfies Omit<Client, 'name'>;

const NO_SUCH_LOAD = 'it makes load of texts and pictures only';
const AIPERF_LACKS = {
  'picture address': 'it fetches pictures itself',
  json: NO_SUCH_LOAD,
  tools: NO_SUCH_LOAD,
  'error 400': NO_SUCH_LOAD,
  'error 429': 'as 401',
  'error 503': 'as 401',
  leave: 'a program that runs to its end',
  'leave a stream': 'a program that runs to its end',
} as const;
const ONCE = 'tried with the endpoint for chats';
const AIPERF = {
  runtime: 'aiperf',
  file: 'python/aiperf_client.py',
  classes: { 'error 401': 'Unauthorized' },
  needs: 'a tokenizer in the folder of the hub: its builtin one is downloaded, and offline it takes no path',
  outcomes: {
    text: { answers: 1, inputTokens: 12, outputTokens: 48 },
    stream: { answers: 1, outputTokens: 48 },
    'picture data': { answers: 1, inputTokens: 1932, outputTokens: 48 },
    'two turns': { answers: 2, inputTokens: 68, outputTokens: 48 },
    'two turns streamed': { answers: 2, inputTokens: 68, outputTokens: 48 },
  },
  lacks: AIPERF_LACKS,
} as const satisfies Omit<Client, 'name'>;
const AIPERF_ONCE = {
  ...AIPERF,
  lacks: {
    ...AIPERF_LACKS,
    text: ONCE,
    'picture data': ONCE,
    'two turns': ONCE,
    'two turns streamed': ONCE,
    'error 401': ONCE,
  },
} as const;

const ESTIMATE = {
  outcome: { outputTokens: 47 },
  why: 'usage in a stream is an extra parameter there: it asks again without, as the refusal says, and estimates it',
};
const ESTIMATES = { stream: ESTIMATE, 'two turns streamed': ESTIMATE };

const OF_ANTHROPIC: NonNullable<Client['shortfalls']> = {
  'picture address': {
    outcome: { error: { class: 'ImageFetchError' } },
    why: 'it fetches pictures itself, and from public addresses only; the test has none',
  },
  json: {
    outcome: { error: { class: 'BadRequestError', status: 400 } },
    why: 'it asks for a form of the answer by a tool, and the card has none',
  },
  'error 503': {
    outcome: { error: { class: 'InternalServerError', status: 500 } },
    why: 'it makes a 500 of it',
  },
};

const REGISTERED =
  'register_model with supports_native_streaming: else it reads the stream of a model that it does not know to its end first';
const KNOWN_NAME = 'a model name of OpenAI, and ours in additional_kwargs: it takes no other name';
const KNOWN_DEPLOYMENT = 'a model name of OpenAI beside the deployment: it takes no other name';

/** Further clients for Python, each in its own environment. */
export const PYTHON_CLIENTS: readonly Client[] = [
  { ...LANGCHAIN, name: 'LangChain (Python) ChatOpenAI' },
  { ...LANGCHAIN, name: 'LangChain (Python) ChatOpenAI, Responses' },
  { ...LANGCHAIN, name: 'LangChain (Python) AzureChatOpenAI', dialect: 'azure-openai' },
  { ...LANGCHAIN, name: 'LangChain (Python) AzureChatOpenAI, Responses', dialect: 'azure-openai' },
  { ...LITELLM, name: 'LiteLLM openai/' },
  { ...LITELLM, name: 'LiteLLM openai/, Responses', needs: REGISTERED },
  { ...LITELLM, name: 'LiteLLM azure/' },
  { ...LITELLM, name: 'LiteLLM azure/, Responses', needs: REGISTERED },
  { ...LITELLM, name: 'LiteLLM azure_ai/', shortfalls: ESTIMATES },
  { ...LITELLM, name: 'LiteLLM azure_ai/, Responses', shortfalls: ESTIMATES },
  { ...LITELLM, name: 'LiteLLM anthropic/', shortfalls: OF_ANTHROPIC },
  { ...LLAMA_INDEX, name: 'LlamaIndex OpenAI', needs: KNOWN_NAME },
  { ...LLAMA_INDEX, name: 'LlamaIndex OpenAILike' },
  { ...LLAMA_INDEX, name: 'LlamaIndex AzureOpenAI', dialect: 'azure-openai', needs: KNOWN_DEPLOYMENT },
  { ...LLAMA_INDEX, name: 'LlamaIndex OpenAIResponses' },
  { ...LLAMA_INDEX, name: 'LlamaIndex OpenAILikeResponses' },
  { ...LLAMA_INDEX, name: 'LlamaIndex AzureOpenAIResponses', dialect: 'azure-openai', needs: KNOWN_DEPLOYMENT },
  { ...INSPECT_AI, name: 'Inspect AI openai' },
  { ...INSPECT_AI, name: 'Inspect AI openai/azure, Responses' },
  { ...INSPECT_AI, name: 'Inspect AI openai-api' },
  { ...INSPECT_AI, name: 'Inspect AI openai-api, Responses' },
  { ...LM_EVAL, name: 'lm-eval local-chat-completions' },
  { ...LM_EVAL, name: 'lm-eval local-completions' },
  { ...AIPERF, name: 'AIPerf chat' },
  { ...AIPERF_ONCE, name: 'AIPerf completions' },
  { ...AIPERF_ONCE, name: 'AIPerf responses' },
];
