import type { ApiFacts } from '../dialects/description.ts';
import type { Dialect } from '../dialects/dialect.ts';
import { messageSchema } from '../dialects/reading/message-schema.ts';
import { jsonSchemas } from './document.ts';

/**
 * The document of `GET /swagger.json`, from which Azure's tools learn how to call `/score`. Source: Azure ML's
 * inference servers, which publish one at this path, in OpenAPI 3.0.
 */
export function scoreDocument(facts: ApiFacts, dialect: Dialect): object {
  const { cards } = facts;
  const only = cards.length === 1 ? cards[0] : undefined;
  const failed = (description: string) => ({ description, content: json('AzureError') });
  const Message = messageSchema(facts);
  const { HiddenScoreAnswer: _, ...schemas } = dialect.describe({
    facts,
    message: Message,
    deployment: 'header',
  }).schemas;
  return {
    openapi: '3.0.3',
    info: { title: only?.name ?? 'Penstock', version: only?.version ?? '1', description: 'Chat with pictures.' },
    paths: {
      '/': { get: { operationId: 'probe', responses: { 200: { description: 'the gateway serves requests' } } } },
      '/score': {
        post: {
          operationId: 'score',
          requestBody: { required: true, content: json('ScoreRequest') },
          responses: {
            200: { description: 'the answer', content: json('ScoreAnswer') },
            408: failed('timeout: the answer was not complete in time'),
            424: failed('refused or failed; the header ms-azureml-model-error-statuscode has the actual status'),
            429: { description: 'too many requests are waiting; see Retry-After' },
            503: failed('no engine or no queue at the moment; see Retry-After'),
          },
        },
      },
    },
    components: { schemas: jsonSchemas({ Message, ...schemas }, 'openapi-3.0') },
  };
}

function json(name: string): object {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } };
}
