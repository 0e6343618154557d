import type { ApiFacts } from '../dialects/description.ts';

const text = { type: 'string' } as const;
const id = { type: 'string', maxLength: 100 } as const;

/** Headers and path parameters of requests by reference name; the dialects add their own. */
export function parameters(facts: ApiFacts): Record<string, object> {
  const header = (name: string, description: string, schema: object): object => ({
    name,
    in: 'header',
    description,
    schema,
  });
  const named = [...facts.names, facts.deploymentName];
  const names = facts.takesAnyName ? text : { enum: named };
  // An empty header counts as absent.
  const orNone = facts.takesAnyName || facts.takesAnyDeployment ? text : { enum: [...named, ''] };
  return {
    'x-request-id': header(
      'x-request-id',
      'repeated in the answer and in the log; if it is absent, the gateway makes one',
      id,
    ),
    'x-ms-client-request-id': header('x-ms-client-request-id', 'repeated in the answer', id),
    'idempotency-key': header(
      'idempotency-key',
      'a request that is sent again with the same key gets the first answer; a stream goes on when its connection breaks',
      {
        ...text,
        maxLength: 255,
      },
    ),
    'x-penstock-deadline-ms': header(
      'x-penstock-deadline-ms',
      'limits the time to the end of the answer, in milliseconds',
      { ...text, pattern: '^[0-9]{1,15}$' },
    ),
    'x-penstock-progress': header(
      'x-penstock-progress',
      '`1`: while a stream waits, a comment says each second how long; no effect on Azure inference routes',
      text,
    ),
    'x-penstock-on-disconnect': header(
      'x-penstock-on-disconnect',
      'what becomes of a stream with an `idempotency-key` when its last client leaves; absent: it goes on for the grace time',
      { enum: ['cancel', 'continue'] },
    ),
    'last-event-id': header(
      'last-event-id',
      'with the `idempotency-key` of a stream: only the events after the one with this id',
      text,
    ),
    'azureml-model-deployment': header('azureml-model-deployment', "overrides the body's `model`", orNone),
    deployment: path('deployment', names),
    id: path('id', facts.names.length === 0 ? text : { enum: facts.names }),
    response_id: { ...path('response_id', text), description: 'the id of a kept response' },
    stream: query('stream', '`true`: the events of the response, from the first one on', { enum: ['true', 'false'] }),
    starting_after: query('starting_after', 'with `stream`: only the events after this one', text),
    limit: query('limit', 'items of a page; absent: 20', { type: 'integer', minimum: 1, maximum: 100 }),
    order: query('order', 'absent: the newest first', { enum: ['asc', 'desc'] }),
    after: query('after', 'id of the item before the first one', text),
  };
}

function query(name: string, description: string, schema: object): object {
  return { name, in: 'query', description, schema };
}

function path(name: string, schema: object): object {
  return { name, in: 'path', required: true, description: 'a model or deployment by any of its names', schema };
}

/** Headers of answers, with their meaning. */
const HEADERS: Readonly<Record<string, string>> = {
  'x-request-id': "the request's id: the caller's, or a new one",
  'x-ms-request-id': 'the same, under the name that Azure uses',
  'apim-request-id': 'the same, for clients of Azure OpenAI',
  'request-id': 'the same, for clients of Anthropic',
  'azureml-model-deployment': 'the deployment that answered',
  'azureml-model-session': 'the same',
  'ms-azureml-model-time': 'milliseconds from the queue to the complete answer',
  'x-ms-client-request-id': "the caller's own id",
  'www-authenticate': 'how to send a key',
  allow: 'the methods of the path',
  'x-penstock-ignored': 'fields that were accepted and have no effect',
  'idempotent-replayed': 'the answer of the first request with this key',
  'x-ms-error-code': "the failure's code",
  'ms-azureml-model-error-statuscode': "the failure's own status, if the response has 424",
  'ms-azureml-model-error-reason': 'who caused the failure',
  'retry-after': 'seconds',
  'retry-after-ms': 'the same in milliseconds, exact',
  'x-penstock-queue-wait-ms': 'milliseconds that the request waited in the queue',
  'server-timing': 'the same as `queue`; on complete answers also the time of the engine as `engine`',
  'x-penstock-service-tier': 'the class of service that the request got, if it asked for one',
  'x-penstock-refusal': 'what refused the request, and whether a place is booked for its next try',
  'x-ratelimit-limit-requests': "requests a minute that the key's limits allow",
  'x-ratelimit-remaining-requests': 'how many of them are left',
  'x-ratelimit-reset-requests': 'until they all are there again, such as `6s`',
  'x-ratelimit-limit-tokens': "tokens that the key's limits allow a minute; a day, if only that is limited",
  'x-ratelimit-remaining-tokens': 'how many of them are left, estimates of running requests taken off',
  'x-ratelimit-reset-tokens': 'until they all are there again, such as `1m2s`',
  'ratelimit-policy': "the key's limits: quota `q`, unit `qu`, window `w` in seconds",
  ratelimit: 'for each limit what remains, `r`, and until when in seconds, `t`',
  'x-should-retry':
    '`false`: an engine has refused the request or may have worked on it, so clients must not repeat it by themselves',
};
/** The headers of a key's limits. */
export const LIMIT_HEADERS = Object.keys(HEADERS).filter((name) => name.includes('ratelimit'));
export const RESPONSE_HEADERS: Readonly<Record<string, object>> = Object.fromEntries(
  Object.entries(HEADERS).map(([name, description]) => [name, { description, schema: text }]),
);
