import { z } from 'zod';
import { Failure, type FailureCode } from '../failure.ts';
import type { Dialect, Rendered } from '../dialects/dialect.ts';
import { LIMIT_HEADERS } from './headers.ts';

const ErrorBody = z.object({ error: z.object({ code: z.string() }) });

/** Failures by stage; a route's operation lists its stages. */
export const STAGES = {
  guarded: ['unauthorized', 'forbidden', 'header_too_long', 'internal', 'shutting_down', 'issuer_unavailable'],
  /** a model named in the path */
  named: ['model_not_found'],
  deployment: ['deployment_not_found'],
  chosen: ['no_model_name'],
  /** an answer named in the path */
  kept: ['answer_not_found', 'invalid_request', 'queue_unavailable', 'overloaded'],
  /** refused with the name of the replacement */
  absent: ['route_not_found'],
  noTask: ['task_not_supported'],
  noBatch: ['batch_not_supported'],
  body: [
    'idempotency_conflict',
    'idempotency_spent',
    'idempotency_mismatch',
    'invalid_json',
    'invalid_request',
    'unsupported_parameter',
    'request_timeout',
    'body_too_large',
    'unsupported_media_type',
    'request_timeout',
    'overloaded',
  ],
  answered: [
    'no_model_name',
    'model_not_found',
    'previous_response_not_found',
    'too_many_images',
    'batch_not_supported',
    'special_token',
    'max_tokens_exceeded',
    'context_length_exceeded',
    'invalid_image',
    'image_refused',
    'image_fetch_failed',
    'image_too_large',
    'content_filter',
    'safety_unavailable',
    'engine_refused',
    'rate_limit_exceeded',
    'queue_full',
    'engine_failed',
    'answer_too_long',
    'body_lost',
    'worker_lost',
    'request_quarantined',
    'no_engine',
    'overloaded',
    'queue_unavailable',
    'deadline_exceeded',
    'engine_silent',
  ],
} as const satisfies Record<string, readonly FailureCode[]>;
export type Stage = keyof typeof STAGES;

/** Failures of no operation: the answer to another method, and one that only the log has. */
export const UNDOCUMENTED: readonly FailureCode[] = ['method_not_allowed', 'client_closed'];

type Renders = Pick<Dialect, 'name' | 'errorSchema' | 'renderFailure'>;

/** Responses of one dialect by component name, rendered by the dialect itself. */
export function failureResponses(dialect: Renders): Record<string, object> {
  const codes = [...new Set(Object.values(STAGES).flat())];
  return Object.fromEntries(
    [...byStatus(dialect, codes)]
      .filter(([status]) => status !== 200)
      .map(([status, rendered]) => [nameOf(dialect, status), response(dialect, rendered)]),
  );
}

/** The failures of an operation: one reference for each status. */
export function failuresOf(dialect: Renders, stages: readonly Stage[]): Record<string, object> {
  const codes = stages.flatMap((stage) => [...STAGES[stage]]);
  const statuses = [...byStatus(dialect, codes).keys()].filter((status) => status !== 200);
  return Object.fromEntries(
    statuses.map((status) => [status, { $ref: `#/components/responses/${nameOf(dialect, status)}` }]),
  );
}

function byStatus(dialect: Renders, codes: readonly FailureCode[]): Map<number, Rendered[]> {
  const statuses = new Map<number, Rendered[]>();
  for (const failure of codes.flatMap(samples)) {
    const rendered = dialect.renderFailure(failure);
    statuses.set(rendered.status, [...(statuses.get(rendered.status) ?? []), rendered]);
  }
  return statuses;
}

function response({ errorSchema }: Renders, rendered: readonly Rendered[]): object {
  const headers = new Set(rendered.flatMap((one) => Object.keys(one.headers)).filter((key) => key !== 'content-type'));
  if (rendered.some(({ status }) => status === 429)) for (const name of LIMIT_HEADERS) headers.add(name);
  const types = new Map<string, string[]>();
  for (const { headers: sent, body } of rendered) {
    const type = sent['content-type'] ?? 'text/plain';
    types.set(type, [...(types.get(type) ?? []), body.toString()]);
  }
  const texts = [...(types.get('text/plain') ?? [])].filter((body) => body !== '');
  const bodies = types.get('application/json') ?? [];
  const codes = [...new Set(bodies.map((body) => ErrorBody.parse(JSON.parse(body)).error.code))];
  const said = [...codes.map((code) => `\`${code}\``), ...texts];
  return {
    description: said.length === 0 ? 'too many requests are waiting' : said.join(', '),
    headers: Object.fromEntries([...headers].map((key) => [key, { $ref: `#/components/headers/${key}` }])),
    content: Object.fromEntries(
      [...types].map(([type, [first = '']]) => [
        type,
        type === 'application/json' ? json(errorSchema, codes, first) : { schema: { type: 'string', const: first } },
      ]),
    ),
  };
}

/** The codes as the dialect writes them, which may differ from `FAILURES`. */
function json(errorSchema: string, codes: readonly string[], example: string): object {
  const code = { properties: { error: { properties: { code: { enum: codes } } } } };
  const value: unknown = JSON.parse(example);
  return { schema: { allOf: [{ $ref: `#/components/schemas/${errorSchema}` }, code] }, example: value };
}

/** The component's name, such as `AzureScore424`. */
function nameOf({ name }: Renders, status: number): string {
  return name.replace(/(?:^|_)(\w)/g, (_match, letter: string) => letter.toUpperCase()) + String(status);
}

/** Azure's inference routes have one status for a choice of tools and another for any other field. */
function samples(code: FailureCode): Failure[] {
  const message = MESSAGES[code] ?? code.replaceAll('_', ' ');
  const params = code === 'invalid_request' ? ['temperature', 'tool_choice'] : [undefined];
  return params.map((param) => new Failure(code, message, param === undefined ? {} : { param }));
}

/** For the failures that come first in a response and so become its examples. */
const MESSAGES: Readonly<Partial<Record<FailureCode, string>>> = {
  unauthorized: 'this request has no key; send it as Authorization: Bearer KEY or as api-key: KEY',
  forbidden: 'the key team-oslo does not allow /v1/models',
  header_too_long: 'x-request-id is longer than 100 characters',
  invalid_json: 'the body is not valid JSON',
  invalid_request: 'temperature must be a number from 0 to 2, got 3',
  request_timeout: 'the body of the request did not arrive in time',
  no_model_name: 'several models are served here; name one',
};
