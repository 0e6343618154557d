import type { Dialect } from '../dialects/dialect.ts';
import type { ApiFacts } from './facts.ts';
import { conversations, exampleModel, operation, type Paths } from './operation.ts';

const TAG = 'Azure AI inference';
const PARAMETERS = ['azureml-model-deployment', 'api-version'] as const;

/** Azure AI Model Inference API, with the gateway or its `/models` as the endpoint. */
export function azureInferencePaths(facts: ApiFacts, dialect: Dialect): Paths {
  return Object.assign({}, ...['', '/models'].map((base) => under(facts, dialect, base))) as Paths;
}

function under(facts: ApiFacts, dialect: Dialect, base: string): Paths {
  const prefix = base === '' ? 'inference_' : 'models_';
  const model = exampleModel(facts);
  const parameters = [...PARAMETERS, 'extra-parameters', 'x-ms-model-mesh-model-name'] as const;
  return {
    [`${base}/chat/completions`]: {
      post: operation(dialect, {
        id: `${prefix}chat`,
        tag: TAG,
        summary: 'The answer to a conversation',
        parameters,
        request: {
          schema: 'InferenceChatRequest',
          examples: conversations(facts, (messages) => ({ model, messages, max_tokens: 24 })),
        },
        answer: 'ChatCompletion',
        event: 'ChatCompletionChunk',
        stages: ['deployment'],
      }),
    },
    [`${base}/completions`]: {
      post: operation(dialect, {
        id: `${prefix}complete`,
        tag: TAG,
        summary: 'A bare prompt is continued',
        parameters,
        request: {
          schema: 'InferenceCompletionRequest',
          examples: { text: { model, prompt: 'The water', max_tokens: 24 } },
        },
        answer: 'Completion',
        event: 'Completion',
        stages: ['deployment'],
      }),
    },
    [`${base}/info`]: {
      get: operation(dialect, {
        id: `${prefix}info`,
        tag: TAG,
        summary: 'Which model answers',
        parameters: PARAMETERS,
        answer: 'ModelInfo',
        stages: ['deployment', 'chosen'],
      }),
    },
  };
}
