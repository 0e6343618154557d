import type { Dialect } from '../dialects/dialect.ts';
import { hidesFailures } from './failures.ts';
import type { ApiFacts } from './facts.ts';
import { conversations, operation, type Paths } from './operation.ts';

const TAG = 'Azure ML';

/** A managed online endpoint of Azure ML. */
export function scorePaths(facts: ApiFacts, dialect: Dialect): Paths {
  const isChat = facts.cards.every(({ task }) => task === 'chat-completion');
  const parameters = { max_new_tokens: 24 };
  const examples = isChat
    ? conversations(facts, (messages) => ({ input_data: { input_string: messages, parameters } }))
    : { prompts: { input_data: { input_string: ['The water'], parameters } } };
  return {
    '/score': {
      post: operation(dialect, {
        id: 'score',
        tag: TAG,
        summary: 'The answer to a conversation, or prompts continued, by the task of the model',
        parameters: ['azureml-model-deployment'],
        request: { schema: 'ScoreRequest', examples },
        answer: hidesFailures(dialect) ? 'HiddenScoreAnswer' : 'ScoreAnswer',
        stages: ['deployment'],
      }),
    },
    '/swagger.json': {
      get: operation(dialect, {
        id: 'scoreDocument',
        tag: TAG,
        summary: 'How /score is called, in OpenAPI 3.0, for the tools of Azure ML',
        answer: 'Document',
        stages: [],
      }),
    },
    '/': {
      get: {
        operationId: 'probe',
        tags: [TAG],
        summary: 'A probe; needs no key',
        security: [],
        responses: {
          200: {
            description: 'the gateway serves requests',
            content: { 'application/json': { schema: { const: 'healthy' } } },
          },
          503: { $ref: '#/components/responses/Openai503' },
        },
      },
    },
  };
}
