import { gzipSync } from 'node:zlib';
import { INPUT_FAULTS } from './input-faults.ts';
import { PARAMETER_FAULTS } from './parameter-faults.ts';
import { ALL, chat, score, type Route } from './route.ts';

/** Set where the table is answered, so that bodies and pictures of the table stay small. */
export const LIMITS = {
  GATEWAY_BODY_LIMIT_BYTES: '4000000',
  GATEWAY_IMAGE_LIMIT_BYTES: '300000',
  GATEWAY_IMAGE_TIMEOUT_MS: '500',
  GATEWAY_IMAGE_ALLOW: '127.0.0.1',
} as const;

/** One request that must be refused before the queue, and the answer that it must get. */
export interface BadRequest {
  readonly fault: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** @param pictures base URL of the server of bad pictures */
  readonly body: (pictures: string) => string | Buffer | undefined;
  readonly code: string;
  /** what the route's own clients see as the HTTP status, and the status that stands behind Azure's 424 */
  readonly status: number;
  readonly inner: number;
  /** the field that the answer names; undefined where the fault is in no field */
  readonly param: string | undefined;
}

/** Every other code here is a 400. */
const STATUS: Readonly<Record<string, number>> = {
  model_not_found: 404,
  route_not_found: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  image_too_large: 413,
  unsupported_media_type: 415,
  header_too_long: 431,
};
const JSON_TYPE = { 'content-type': 'application/json' };

type Given = Pick<BadRequest, 'fault' | 'path' | 'code'> & Partial<BadRequest>;
function row(given: Given): BadRequest {
  const inner = STATUS[given.code] ?? 400;
  // Azure's endpoint answers a wrong method itself; all else comes from its container.
  const wrapped = given.path === score.path && inner !== 405;
  const rest = { method: 'POST', headers: JSON_TYPE, body: () => undefined, param: undefined };
  return { ...rest, status: wrapped ? 424 : inner, inner, ...given };
}

function parameterRows(): BadRequest[] {
  return PARAMETER_FAULTS.flatMap(({ fault, name, value, routes, code, inside, beside }) =>
    routes.map(({ path, prefix, withParameters }) => {
      const body = JSON.stringify(withParameters({ ...beside, [name]: value }));
      return row({ fault, path, code, param: prefix + name + inside, body: () => body });
    }),
  );
}

function inputRows(): BadRequest[] {
  return INPUT_FAULTS.flatMap(({ fault, input, routes, code, inside }) =>
    routes.map(({ path, input: at, withInput }) => {
      const body = (pictures: string): string => JSON.stringify(withInput(input(pictures)));
      return row({ fault, path, code, param: at + inside, body });
    }),
  );
}

/** What is wrong before a field is looked at; the same on every route. */
function bodyRows({ path, withParameters }: Route): BadRequest[] {
  const fine = JSON.stringify(withParameters({}));
  const large = Buffer.alloc(4_000_001, 0x20);
  const bodies: readonly (readonly [fault: string, body: string | Buffer | undefined, code?: string])[] = [
    ['no body', undefined, 'invalid_json'],
    ['an empty body', '', 'invalid_json'],
    ['a body that is not JSON', 'hello', 'invalid_json'],
    ['JSON that is cut', fine.slice(0, -3), 'invalid_json'],
    ['JSON with a comment', `${fine} // hi`, 'invalid_json'],
    ['a form', 'prompt=hi', 'invalid_json'],
    ['bytes that are not UTF-8', Buffer.from(fine.replace('hi', 'hï'), 'latin1'), 'invalid_json'],
    ['brackets 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['a list as body', '[]'],
    ['a text as body', '"hi"'],
    ['a number as body', '5'],
    ['null as body', 'null'],
    ['a body over the limit', large, 'body_too_large'],
  ];
  const types: readonly (readonly [fault: string, headers: Record<string, string>, code: string])[] = [
    ['JSON called a text', { 'content-type': 'text/plain' }, 'unsupported_media_type'],
    ['JSON called a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'unsupported_media_type'],
    ['JSON called multipart', { 'content-type': 'multipart/form-data; boundary=x' }, 'unsupported_media_type'],
    ['an unknown content-encoding', { ...JSON_TYPE, 'content-encoding': 'zstandard' }, 'unsupported_media_type'],
    ['gzip that is none', { ...JSON_TYPE, 'content-encoding': 'gzip' }, 'invalid_json'],
  ];
  const longId = { ...JSON_TYPE, 'x-request-id': 'x'.repeat(101) };
  const bomb = { headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: () => gzipSync(large) };
  return [
    ...bodies.map(([fault, body, code = 'invalid_request']) => row({ fault, path, code, body: () => body })),
    ...types.map(([fault, headers, code]) => row({ fault, path, code, headers, body: () => fine })),
    row({ fault: 'a small body that unpacks to one over the limit', path, code: 'body_too_large', ...bomb }),
    row({
      fault: 'a request id that is too long',
      path,
      code: 'header_too_long',
      headers: longId,
      param: 'x-request-id',
      body: () => fine,
    }),
    row({ fault: 'GET', path, code: 'method_not_allowed', method: 'GET' }),
    row({ fault: 'PUT', path, code: 'method_not_allowed', method: 'PUT', body: () => fine }),
  ];
}

function missingRows(): BadRequest[] {
  const hi = [{ role: 'user', content: 'hi' }];
  const shapes: readonly (readonly [fault: string, path: string, body: object, param: string, code?: string])[] = [
    ['no messages', chat.path, { model: 'azureai' }, 'messages'],
    ['messages as null', chat.path, { messages: null }, 'messages'],
    ['a prompt where messages belong', chat.path, { prompt: 'hi' }, 'messages'],
    ['no prompt at all', '/v1/completions', { max_tokens: 5 }, 'prompt'],
    ['no input_data', score.path, {}, 'input_data'],
    ["an OpenAI body on Azure's route", score.path, { messages: hi }, 'input_data'],
    ['the older name of input_data', score.path, { inputs: { input_string: hi } }, 'input_data'],
    ['input_data as text', score.path, { input_data: '{"input_string":[]}' }, 'input_data'],
    ['a list of prompts as input_data', score.path, { input_data: ['p1', 'p2'] }, 'input_data'],
    ['no input_string', score.path, { input_data: { parameters: {} } }, 'input_data.input_string'],
    ['texts as input_string', score.path, { input_data: { input_string: ['p1'] } }, 'input_data.input_string'],
    ['parameters as a list', score.path, { input_data: { input_string: hi, parameters: [] } }, 'input_data.parameters'],
    [
      'parameters as a text',
      score.path,
      { input_data: { input_string: hi, parameters: 'x' } },
      'input_data.parameters',
    ],
    [
      'two conversations',
      score.path,
      { input_data: { input_string: [hi, hi] } },
      'input_data.input_string',
      'batch_not_supported',
    ],
  ];
  return shapes.map(([fault, path, body, param, code = 'invalid_request']) =>
    row({ fault, path, code, param, body: () => JSON.stringify(body) }),
  );
}

/** Parts of OpenAI's API, and of vLLM's, that are refused by name. */
export const ABSENT = [
  '/v1/embeddings',
  '/openai/embeddings',
  '/openai/v1/embeddings',
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
  '/v1/messages',
  '/v1/responses/resp_1',
  '/v1/responses/resp_1/cancel',
] as const;

function routeRows(): BadRequest[] {
  const body = (): string => JSON.stringify(chat.withParameters({}));
  const unknown = ['/v1/chat/completion', '/v1', '/score/v2', '/nope', '/%ff'];
  return [
    ...unknown.map((path) => row({ fault: 'a route that is not there', path, code: 'route_not_found', body })),
    row({
      fault: 'a model that is not served',
      path: '/v1/models/nope',
      method: 'GET',
      code: 'model_not_found',
      param: 'model',
    }),
    row({ fault: 'POST to what is only read', path: '/v1/models', code: 'method_not_allowed', body }),
    ...ABSENT.map((path) => row({ fault: 'a part of the API that is not here', path, code: 'route_not_found', body })),
    row({ fault: 'a batch', path: '/v1/batches', code: 'batch_not_supported', body }),
    row({ fault: 'a file', path: '/v1/files', code: 'batch_not_supported', body }),
  ];
}

export const BAD_REQUESTS: readonly BadRequest[] = [
  ...ALL.flatMap(bodyRows),
  ...missingRows(),
  ...parameterRows(),
  ...inputRows(),
  ...routeRows(),
];
