import type { ApiFacts } from '../dialects/description.ts';

const text = { type: 'string' } as const;
const id = { type: 'string', maxLength: 100 } as const;

/** Headers and path parameters of requests, by the name that refers to them; others are of a dialect's own. */
export function parameters(facts: ApiFacts): Record<string, object> {
  const header = (name: string, description: string, schema: object): object => ({
    name,
    in: 'header',
    description,
    schema,
  });
  const named = [...facts.names, facts.deploymentName];
  const names = facts.takesAnyName ? text : { enum: named };
  // An empty header is as good as none.
  const orNone = facts.takesAnyName || facts.takesAnyDeployment ? text : { enum: [...named, ''] };
  return {
    'x-request-id': header('x-request-id', 'told back, and in the log; one is made where it is absent', id),
    'x-ms-client-request-id': header('x-ms-client-request-id', 'told back', id),
    'idempotency-key': header('idempotency-key', 'a request that is sent again with it is answered as before', {
      ...text,
      maxLength: 255,
    }),
    'azureml-model-deployment': header('azureml-model-deployment', "decides before the body's `model`", orNone),
    deployment: path('deployment', names),
    id: path('id', facts.names.length === 0 ? text : { enum: facts.names }),
  };
}

function path(name: string, schema: object): object {
  return { name, in: 'path', required: true, description: 'a model or deployment by any of its names', schema };
}

/** Headers of answers, with what they say. */
const HEADERS: Readonly<Record<string, string>> = {
  'x-request-id': "the request's id: the caller's, or a new one",
  'x-ms-request-id': 'the same, where Azure looks for it',
  'apim-request-id': 'the same, where clients of Azure OpenAI look for it',
  'request-id': 'the same, where clients of Anthropic look for it',
  'azureml-model-deployment': 'the deployment that answered',
  'azureml-model-session': 'the same',
  'ms-azureml-model-time': 'milliseconds from the queue to the whole answer',
  'x-ms-client-request-id': "the caller's own id",
  'www-authenticate': 'how a key is sent',
  allow: 'the methods of the path',
  'x-penstock-ignored': 'fields that were accepted and have no effect',
  'idempotent-replayed': 'the answer of the first request with this key',
  'x-ms-error-code': "the failure's code",
  'ms-azureml-model-error-statuscode': "the failure's status, behind 424",
  'ms-azureml-model-error-reason': 'whose failure it is',
  'retry-after': 'seconds',
  'retry-after-ms': 'the same in milliseconds',
  'x-should-retry':
    '`false`: an engine has refused it or may have worked on it, and repeating it is left to the caller',
};
export const RESPONSE_HEADERS: Readonly<Record<string, object>> = Object.fromEntries(
  Object.entries(HEADERS).map(([name, description]) => [name, { description, schema: text }]),
);
