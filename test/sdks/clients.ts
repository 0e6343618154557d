import { z } from 'zod';
import type { ClientStack, Turn } from './client-stack.ts';
import { CASES, classesOf, type Case, type Client, type Shortfall } from './client.ts';
import { PYTHON_CLIENTS } from './python-clients.ts';
import { CODES } from './sdks.ts';

/** How to run the clients of one language or environment: `program folder/file`. */
export const Runtimes = z.record(z.string(), z.object({ program: z.string(), folder: z.string() }));
export type Runtime = z.infer<typeof Runtimes>[string];

/** A line that a client prints. */
export const Line = z.object({ client: z.string(), version: z.string(), case: z.string(), outcome: z.looseObject({}) });

const TURNS: Readonly<Partial<Record<Case, Turn>>> = {
  text: 'first',
  stream: 'first',
  'picture data': 'picture',
  'picture address': 'picture',
  'two turns': 'second',
  'two turns streamed': 'second',
};
const STATUSES = { tools: 400, 'error 400': 400, 'error 401': 401, 'error 429': 429, 'error 503': 503 } as const;
/** Refusals by the card: the second picture, and tools. */
const REFUSED = { tools: 'unsupported_parameter', 'error 400': 'too_many_images' } as const;

/** Cases that not every client supports. */
const AS_TOLD: readonly Case[] = ['broken stream', 'error 504', 'system', 'stop sequence', 'count tokens'];
/** @returns its cases, or only those for which the table has its caller's view */
export function casesOf({ lacks, classes, outcomes = {} }: Client): Case[] {
  return CASES.filter(
    (one) => lacks?.[one] === undefined && (!AS_TOLD.includes(one) || one in classes || one in outcomes),
  );
}

/** @returns the expected outcome of a case, for jest's `toMatchObject` */
export function expectedOf(client: Client, name: Case, stack: ClientStack | undefined): object {
  const own = client.shortfalls?.[name]?.outcome ?? client.outcomes?.[name];
  if (own !== undefined) return own;
  const turn = TURNS[name];
  if (turn !== undefined) return { ...(client.takesComplete === true ? stack?.complete : stack?.told)?.[turn] };
  const seen = client.classes[name];
  const error = seen === undefined ? {} : { class: seen };
  switch (name) {
    case 'tools':
    case 'error 400':
    case 'error 401':
    case 'error 429':
    case 'error 503': {
      const status = STATUSES[name];
      const code = status === 400 ? REFUSED[name === 'tools' ? name : 'error 400'] : undefined;
      const ours = client.dialect === undefined ? {} : { code: code ?? CODES[client.dialect][status] };
      return { error: { ...error, status, ...ours } };
    }
    case 'leave':
    case 'leave a stream':
      return { left: true, ...(seen === undefined ? {} : { error }) };
    case 'error 504':
      return { error: { ...error, status: 504 }, requests: 1 };
    case 'broken stream':
      return { error };
    case 'json':
      return { json: { colour: 'quiet' } };
    default:
      throw new Error(`unknown case ${name}`);
  }
}

const LANGCHAIN = {
  runtime: 'node',
  file: 'langchain.mjs',
  dialect: 'openai',
  shortfalls: { 'error 504': repeats('InternalServerError') },
  classes: classesOf({
    400: 'BadRequestError',
    401: 'AuthenticationError',
    429: 'RateLimitError',
    503: 'InternalServerError',
    504: 'InternalServerError',
    leave: 'AbortError',
    broken: 'APIError',
  }),
} as const satisfies Omit<Client, 'name'>;

/** A 504 has `x-should-retry: false`, because an engine may have worked on it. @param error the class seen in the end */
function repeats(error: string): Shortfall {
  const why = 'it does not read x-should-retry, and asks again although an engine may have worked on it each time';
  return { outcome: { error: { class: error, status: 504 }, requests: 3 }, why };
}

/** A `RetryError` contains the last answer's `APICallError`. */
const AI_SDK = {
  runtime: 'node',
  file: 'vercel-ai.mjs',
  dialect: 'openai',
  shortfalls: { 'error 504': repeats('RetryError') },
  classes: {
    ...classesOf({
      400: 'APICallError',
      401: 'APICallError',
      429: 'RetryError',
      503: 'RetryError',
      504: 'RetryError',
      leave: 'AbortError',
      broken: 'StreamProviderError',
    }),
    'leave a stream': 'abort part',
  },
} as const satisfies Omit<Client, 'name'>;

const ANTHROPIC: Client = {
  name: 'Anthropic SDK',
  runtime: 'node',
  file: 'anthropic.mjs',
  dialect: 'anthropic',
  classes: classesOf({
    400: 'BadRequestError',
    401: 'AuthenticationError',
    429: 'RateLimitError',
    503: 'ServiceUnavailableError',
    504: 'GatewayTimeoutError',
    leave: 'APIUserAbortError',
    broken: 'APIError',
  }),
  outcomes: {
    system: { isLonger: true },
    'stop sequence': { reason: 'stop_sequence', sequence: 'sky' },
    'count tokens': { inputTokens: 12 },
  },
  shortfalls: {
    json: {
      outcome: { error: { class: 'BadRequestError', status: 400, code: 'unsupported_parameter' } },
      why: 'output_config is not served on this route; the error names the field of the other route that has it',
    },
  },
};

const THROWS_AT_LISTS: Shortfall = {
  outcome: { error: { class: 'ZodError' } },
  why: 'it throws at the lists that vLLM has in the usage of a stream; with store: true there are none',
};
const OPENAI_AGENTS = {
  runtime: 'node',
  file: 'openai-agents.mjs',
  dialect: 'openai',
  takesComplete: true,
  classes: classesOf({
    400: 'BadRequestError',
    401: 'AuthenticationError',
    429: 'RateLimitError',
    503: 'InternalServerError',
    504: 'InternalServerError',
    leave: 'APIUserAbortError',
    broken: 'APIError',
  }),
  outcomes: { 'leave a stream': { left: true } },
} as const satisfies Omit<Client, 'name'>;

const NODE_CLIENTS: readonly Client[] = [
  ANTHROPIC,
  {
    ...OPENAI_AGENTS,
    name: 'OpenAI Agents',
    shortfalls: { stream: THROWS_AT_LISTS, 'two turns streamed': THROWS_AT_LISTS },
  },
  {
    ...OPENAI_AGENTS,
    name: 'OpenAI Agents, previousResponseId, store: true',
    classes: { ...OPENAI_AGENTS.classes, 'broken stream': 'ModelBehaviorError' },
    lacks: { 'leave a stream': 'a response with store: true goes on without its reader, who can come back' },
  },
  { ...LANGCHAIN, name: 'LangChain ChatOpenAI' },
  { ...LANGCHAIN, name: 'LangChain ChatOpenAI, Responses' },
  { ...LANGCHAIN, name: 'LangChain AzureChatOpenAI', dialect: 'azure-openai' },
  { ...AI_SDK, name: 'AI SDK openai, Responses' },
  { ...AI_SDK, name: 'AI SDK openai, Responses, store: false' },
  { ...AI_SDK, name: 'AI SDK openai .chat()' },
  {
    ...AI_SDK,
    name: 'AI SDK openai-compatible',
    shortfalls: {
      ...AI_SDK.shortfalls,
      'picture address': {
        outcome: { error: { class: 'DownloadError' } },
        why: 'it fetches pictures itself, and from public addresses only; the test has none',
      },
      json: {
        outcome: { json: {} },
        why: 'it leaves the schema out and asks for any JSON, unless supportsStructuredOutputs is set',
      },
    },
  },
  { ...AI_SDK, name: 'AI SDK azure, Responses', dialect: 'azure-openai' },
  { ...AI_SDK, name: 'AI SDK azure, Responses, store: false', dialect: 'azure-openai' },
  { ...AI_SDK, name: 'AI SDK azure .chat()', dialect: 'azure-openai' },
  { ...AI_SDK, name: 'AI SDK azure .chat(), by deployment', dialect: 'azure-openai' },
];
export const CLIENTS: readonly Client[] = [...NODE_CLIENTS, ...PYTHON_CLIENTS];
