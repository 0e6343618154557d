import { gzipSync } from 'node:zlib';
import type { FailureCode } from '../../gateway/failure.ts';
import { INPUT_FAULTS } from './input-faults.ts';
import { MESSAGE_INPUTS, MESSAGE_PARAMETERS } from './message-faults.ts';
import { PARAMETER_FAULTS } from './parameter-faults.ts';
import {
  EVERY,
  chat,
  completions,
  inference,
  messages,
  parameterRefusal,
  refusedOn,
  score,
  type Refused,
  type Route,
} from './route.ts';

/** Settings of the stack for the table, so that its bodies and pictures can be small. */
export const LIMITS = {
  GATEWAY_BODY_LIMIT_BYTES: '4000000',
  GATEWAY_IMAGE_LIMIT_BYTES: '300000',
  GATEWAY_IMAGE_TIMEOUT_MS: '500',
  GATEWAY_IMAGE_ALLOW: '127.0.0.1',
} as const;

/** One request that must be refused before the queue, and its expected answer. */
export interface BadRequest {
  readonly fault: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** @param pictures base URL of the server of bad pictures */
  readonly body: (pictures: string) => string | Buffer | undefined;
  readonly code: string;
  /** the HTTP status for the route's own clients, and the status inside Azure's 424 */
  readonly status: number;
  readonly inner: number;
  /** the field that the answer names; undefined if the fault is in no field */
  readonly param: string | undefined;
}

const JSON_TYPE = { 'content-type': 'application/json' };

type Given = Pick<BadRequest, 'fault' | 'path'> & Partial<BadRequest>;
function row(refused: Refused, given: Given): BadRequest {
  const rest = { method: 'POST', headers: JSON_TYPE, body: () => undefined, param: undefined };
  return { ...rest, ...refused, ...given };
}

function parameterRows(): BadRequest[] {
  return [...PARAMETER_FAULTS, ...MESSAGE_PARAMETERS].flatMap(({ fault, name, value, routes, code, inside, beside }) =>
    routes.map((route) => {
      const parameters = { ...beside, [name]: value };
      const refusal = parameterRefusal(route, Object.keys(parameters), { code, param: name + inside });
      const body = JSON.stringify(route.withParameters(parameters));
      return row(refusal, { fault, path: route.path, param: refusal.param, body: () => body });
    }),
  );
}

function inputRows(): BadRequest[] {
  return [...INPUT_FAULTS, ...MESSAGE_INPUTS].flatMap(({ fault, input, routes, code, inside }) =>
    routes.map(({ path, shape, input: at, withInput }) => {
      const body = (pictures: string): string => JSON.stringify(withInput(input(pictures)));
      return row(refusedOn(shape, code), { fault, path, param: at + inside, body });
    }),
  );
}

/** Faults outside the fields; the same on every route. */
function bodyRows({ path, shape, withParameters }: Route): BadRequest[] {
  const fine = JSON.stringify(withParameters({}));
  const large = Buffer.alloc(4_000_001, 0x20);
  const bodies: readonly (readonly [fault: string, body: string | Buffer | undefined, code?: FailureCode])[] = [
    ['no body', undefined, 'invalid_json'],
    ['an empty body', '', 'invalid_json'],
    ['a body that is not JSON', 'hello', 'invalid_json'],
    ['truncated JSON', fine.slice(0, -3), 'invalid_json'],
    ['JSON with a comment', `${fine} // hi`, 'invalid_json'],
    ['a form', 'prompt=hi', 'invalid_json'],
    ['bytes that are not UTF-8', Buffer.from(fine.replace('hi', 'hï'), 'latin1'), 'invalid_json'],
    ['brackets 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000), 'invalid_json'],
    ['300,000 empty lists', `[${'[],'.repeat(300_000)}0]`, 'invalid_json'],
    ['a text of 5 MB', fine.replace('hi', 'word '.repeat(1_000_000)), 'body_too_large'],
    ['a list as body', '[]'],
    ['a text as body', '"hi"'],
    ['a number as body', '5'],
    ['null as body', 'null'],
    ['a body over the limit', large, 'body_too_large'],
  ];
  const types: readonly (readonly [fault: string, headers: Record<string, string>, code: FailureCode])[] = [
    ['JSON called a text', { 'content-type': 'text/plain' }, 'unsupported_media_type'],
    ['JSON called a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'unsupported_media_type'],
    ['JSON called multipart', { 'content-type': 'multipart/form-data; boundary=x' }, 'unsupported_media_type'],
    ['an unknown content-encoding', { ...JSON_TYPE, 'content-encoding': 'zstandard' }, 'unsupported_media_type'],
    ['invalid gzip', { ...JSON_TYPE, 'content-encoding': 'gzip' }, 'invalid_json'],
  ];
  const longId = { ...JSON_TYPE, 'x-request-id': 'x'.repeat(101) };
  const bomb = { headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: () => gzipSync(large) };
  const at = (code: FailureCode, fault: string, more: Partial<BadRequest>): BadRequest =>
    row(refusedOn(shape, code), { fault, path, ...more });
  return [
    ...bodies.map(([fault, body, code = 'invalid_request']) => at(code, fault, { body: () => body })),
    ...types.map(([fault, headers, code]) => at(code, fault, { headers, body: () => fine })),
    at('body_too_large', 'a small body that unpacks to one over the limit', bomb),
    at('header_too_long', 'a request id that is too long', {
      headers: longId,
      param: 'x-request-id',
      body: () => fine,
    }),
    at('method_not_allowed', 'GET', { method: 'GET' }),
    at('method_not_allowed', 'PUT', { method: 'PUT', body: () => fine }),
  ];
}

/** Faults in the headers of Azure's clients. */
function headerRows(): BadRequest[] {
  const extra = { 'extra-parameters': 'perhaps' };
  const nope = { 'azureml-model-deployment': 'nope' };
  const mesh = { 'x-ms-model-mesh-model-name': 'nope' };
  const rows: readonly (readonly [string, Route, Record<string, string>, FailureCode, string])[] = [
    ['an unknown value of the extra-parameters header', inference, extra, 'unsupported_parameter', 'extra-parameters'],
    ['an unknown deployment', inference, nope, 'deployment_not_found', 'azureml-model-deployment'],
    ['an unknown deployment', score, nope, 'deployment_not_found', 'azureml-model-deployment'],
    ['a model in a header that is not served', inference, mesh, 'model_not_found', 'model'],
  ];
  return rows.map(([fault, { path, shape, withParameters }, headers, code, param]) => {
    const body = (): string => JSON.stringify(withParameters({}));
    return row(refusedOn(shape, code), { fault, path, headers: { ...JSON_TYPE, ...headers }, param, body });
  });
}

function missingRows(): BadRequest[] {
  const hi = [{ role: 'user', content: 'hi' }];
  const shapes: readonly (readonly [fault: string, on: Route, body: object, param: string, code?: FailureCode])[] = [
    ['no messages', chat, { model: 'azureai' }, 'messages'],
    ['messages as null', chat, { messages: null }, 'messages'],
    ['a prompt where messages belong', chat, { prompt: 'hi' }, 'prompt', 'unsupported_parameter'],
    ['no messages', messages, { max_tokens: 5 }, 'messages'],
    ['no length of the answer', messages, { messages: hi }, 'max_tokens'],
    ['no prompt at all', completions, { max_tokens: 5 }, 'prompt'],
    ['no input_data', score, {}, 'input_data'],
    ["an OpenAI body on Azure's route", score, { messages: hi }, 'input_data'],
    ['the older name of input_data', score, { inputs: { input_string: hi } }, 'input_data'],
    ['input_data as text', score, { input_data: '{"input_string":[]}' }, 'input_data'],
    ['a list of prompts as input_data', score, { input_data: ['p1', 'p2'] }, 'input_data'],
    ['no input_string', score, { input_data: { parameters: {} } }, 'input_data.input_string'],
    ['texts as input_string', score, { input_data: { input_string: ['p1'] } }, 'input_data.input_string'],
    ['parameters as a list', score, { input_data: { input_string: hi, parameters: [] } }, 'input_data.parameters'],
    ['parameters as a text', score, { input_data: { input_string: hi, parameters: 'x' } }, 'input_data.parameters'],
    [
      'two conversations',
      score,
      { input_data: { input_string: [hi, hi] } },
      'input_data.input_string',
      'batch_not_supported',
    ],
  ];
  return shapes.map(([fault, { path, shape }, body, param, code = 'invalid_request']) =>
    row(refusedOn(shape, code), { fault, path, param, body: () => JSON.stringify(body) }),
  );
}

/** Parts of OpenAI's API, and of vLLM's, that are refused by name. */
export const ABSENT = [
  '/v1/embeddings',
  '/openai/images/generations',
  '/openai/v1/moderations',
  '/v1/audio/speech',
  '/v1/audio/transcriptions',
  '/v1/images/generations',
  '/v1/videos',
  '/v1/moderations',
  '/v1/realtime',
  '/v1/rerank',
  '/v1/score',
  '/v1/fine_tuning/jobs',
  '/v1/evals',
  '/v1/assistants',
  '/v1/threads/thread_1/runs',
  '/v1/conversations',
  '/v1/vector_stores',
  '/v1/containers',
  '/v1/chat/completions/chatcmpl-1',
] as const;

function routeRows(): BadRequest[] {
  const body = (): string => JSON.stringify(chat.withParameters({}));
  const unknown = ['/v1/chat/completion', '/v1', '/score/v2', '/nope', '/%ff'];
  const others: readonly (readonly [fault: string, Route['shape'], path: string, FailureCode, Partial<BadRequest>?])[] =
    [
      ...unknown.map((path) => [NOT_THERE, 'openai', path, 'route_not_found'] as const),
      ...ABSENT.map(
        (path) => [NO_PART, path.startsWith('/v1') ? 'openai' : 'azure_openai', path, 'route_not_found'] as const,
      ),
      [NOT_THERE, 'azure_inference', '/models/nope', 'route_not_found'],
      [NOT_THERE, 'azure_openai', '/openai/deployments/azureai/nope', 'route_not_found'],
      ['embeddings', 'azure_inference', '/embeddings', 'task_not_supported'],
      ['embeddings', 'azure_inference', '/models/images/embeddings', 'task_not_supported'],
      ['embeddings', 'azure_openai', '/openai/deployments/azureai/embeddings', 'task_not_supported'],
      ['embeddings', 'azure_openai', '/openai/v1/embeddings', 'task_not_supported'],
      [NO_MODEL, 'openai', '/v1/models/nope', 'model_not_found', { method: 'GET', param: 'model' }],
      [NO_MODEL, 'azure_openai', '/openai/models/nope', 'model_not_found', { method: 'GET', param: 'model' }],
      [NO_DEPLOYMENT, 'azure_openai', '/openai/deployments/no/pe/chat/completions', 'deployment_not_found', IN_PATH],
      [NO_DEPLOYMENT, 'azure_openai', '/openai/deployments/nope/embeddings', 'deployment_not_found', IN_PATH],
      ['POST to a read-only route', 'openai', '/v1/models', 'method_not_allowed'],
      ['POST to a read-only route', 'azure_inference', '/info', 'method_not_allowed'],
      ['POST to a read-only route', 'azure_openai', '/openai/models', 'method_not_allowed'],
      ['a batch', 'openai', '/v1/batches', 'batch_not_supported'],
      ['a file', 'openai', '/v1/files', 'batch_not_supported'],
    ];
  return others.map(([fault, shape, path, code, more = {}]) =>
    row(refusedOn(shape, code), { fault, path, ...(more.method === 'GET' ? {} : { body }), ...more }),
  );
}
const NO_PART = 'a part of the API that is not here';
const NOT_THERE = 'a route that is not there';
const NO_MODEL = 'a model that is not served, by its path';
const NO_DEPLOYMENT = 'a deployment that is not there, by its path';
const IN_PATH = { param: 'deployment' };

export const BAD_REQUESTS: readonly BadRequest[] = [
  ...EVERY.flatMap(bodyRows),
  ...headerRows(),
  ...missingRows(),
  ...parameterRows(),
  ...inputRows(),
  ...routeRows(),
];
