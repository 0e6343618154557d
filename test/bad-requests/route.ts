import { Failure, type FailureCode } from '../../gateway/failure.ts';

/** A route that accepts a request for an engine, with its forms of requests and answers. */
export interface Route {
  readonly path: string;
  readonly shape: 'openai' | 'azure_score' | 'azure_inference' | 'azure_openai' | 'anthropic';
  /** place of the conversation or the prompt in its body, and the parameters' prefix */
  readonly input: string;
  readonly prefix: string;
  /** all fields of its API, if other fields are extra parameters */
  readonly fields?: readonly string[];
  /** the deployment selects the model, not the body's `model` */
  readonly ignoresModel?: boolean;
  /** a complete body with these parameters */
  readonly withParameters: (parameters: object) => object;
  /** a complete body with this in the conversation's place */
  readonly withInput: (input: unknown) => object;
}

const MESSAGES = [{ role: 'user', content: 'hi' }];
const CHAT = {
  input: 'messages',
  prefix: '',
  withParameters: (parameters: object) => ({ messages: MESSAGES, ...parameters }),
  withInput: (input: unknown) => ({ messages: input }),
};
const COMPLETION = {
  input: 'prompt',
  prefix: '',
  withParameters: (parameters: object) => ({ prompt: 'hi', ...parameters }),
  withInput: (input: unknown) => ({ prompt: input }),
};
/** Fields of Azure's specification of its inference API, and the model name of its own samples. */
const SHARED =
  'model frequency_penalty presence_penalty temperature top_p max_tokens max_new_tokens stop seed stream'.split(' ');

export const chat: Route = { ...CHAT, path: '/v1/chat/completions', shape: 'openai' };
export const completions: Route = { ...COMPLETION, path: '/v1/completions', shape: 'openai' };
export const score: Route = {
  path: '/score',
  shape: 'azure_score',
  input: 'input_data.input_string',
  prefix: 'input_data.parameters.',
  withParameters: (parameters) => ({ input_data: { input_string: MESSAGES, parameters } }),
  withInput: (input) => ({ input_data: { input_string: input } }),
};
export const inference: Route = {
  ...CHAT,
  path: '/chat/completions',
  shape: 'azure_inference',
  fields: [...SHARED, 'messages', 'response_format', 'tools', 'tool_choice'],
};
const inferenceCompletions: Route = {
  ...COMPLETION,
  path: '/models/completions',
  shape: 'azure_inference',
  fields: [...SHARED, 'prompt'],
};
const deployment: Route = {
  ...CHAT,
  path: '/openai/deployments/azureai/chat/completions',
  shape: 'azure_openai',
  ignoresModel: true,
};
const azureCompletions: Route = { ...COMPLETION, path: '/openai/v1/completions', shape: 'azure_openai' };

export const messages: Route = {
  path: '/v1/messages',
  shape: 'anthropic',
  input: 'messages',
  prefix: '',
  withParameters: (parameters) => ({ messages: MESSAGES, max_tokens: 5, ...parameters }),
  withInput: (input) => ({ messages: input, max_tokens: 5 }),
};

export const CHATS: readonly Route[] = [chat, inference, deployment];
export const COMPLETIONS: readonly Route[] = [completions, inferenceCompletions, azureCompletions];
export const OPENAI: readonly Route[] = [...CHATS, ...COMPLETIONS];
export const ALL: readonly Route[] = [...OPENAI, score];
/** Also on an API with its own parameters. */
export const EVERY: readonly Route[] = [...ALL, messages];
export const WITH_MESSAGES: readonly Route[] = [...CHATS, score];
/** APIs that accept fields outside their specification. */
export const LENIENT: readonly Route[] = OPENAI.filter(({ fields }) => fields === undefined);

/** The form of a refusal on a route. */
export interface Refused {
  /** the HTTP status, the status inside Azure's 424, the code in the body */
  readonly status: number;
  readonly inner: number;
  readonly code: string;
}
/** Codes of Azure OpenAI that differ from ours. */
const AZURE_OPENAI: Readonly<Record<string, string>> = {
  model_not_found: 'DeploymentNotFound',
  deployment_not_found: 'DeploymentNotFound',
};
/** Answers of Azure's endpoint itself; all others on `/score` come from its container. */
const ENDPOINT = ['method_not_allowed', 'deployment_not_found'];

export function refusedOn(shape: Route['shape'], code: FailureCode): Refused {
  const { status } = new Failure(code, '');
  if (shape === 'azure_score') return { status: ENDPOINT.includes(code) ? status : 424, inner: status, code };
  const own = shape === 'azure_inference' && code === 'invalid_request' ? 422 : status;
  return { status: own, inner: own, code: shape === 'azure_openai' ? (AZURE_OPENAI[code] ?? code) : code };
}

/** The parameter that a route refuses, if one of these is bad: the first extra one, if there is one. */
export function parameterRefusal(
  { shape, prefix, fields }: Route,
  names: readonly string[],
  fault: { readonly code: FailureCode; readonly param: string },
): Refused & { readonly param: string } {
  const extra = fields === undefined ? undefined : names.find((name) => !fields.includes(name));
  // Azure's container refuses every choice of tools itself, before its schema check.
  const by = shape === 'azure_inference' && fault.param === 'tool_choice' ? 'openai' : shape;
  if (extra === undefined) return { ...refusedOn(by, fault.code), param: prefix + fault.param };
  return { ...refusedOn(shape, 'unsupported_parameter'), param: extra };
}
