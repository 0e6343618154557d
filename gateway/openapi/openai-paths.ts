import type { Dialect } from '../dialects/dialect.ts';
import type { ApiFacts } from './facts.ts';
import { conversations, exampleModel, HELLO, operation, type OperationFacts, type Paths } from './operation.ts';

const TAG = 'OpenAI';

/** `/v1`, as OpenAI's SDKs call it. */
export function openaiPaths(facts: ApiFacts, dialect: Dialect): Paths {
  return openaiShaped(facts, dialect, { base: '/v1', tag: TAG, prefix: '' });
}

export interface Shape {
  readonly base: string;
  readonly tag: string;
  /** of operation ids */
  readonly prefix: string;
  readonly parameters?: NonNullable<OperationFacts['parameters']>;
  /** before the names of the requests' schemas, where they are not OpenAI's own */
  readonly requests?: string;
}

/** Completions and models, under whatever path Azure or OpenAI have them. */
export function openaiShaped(facts: ApiFacts, dialect: Dialect, shape: Shape): Paths {
  return { ...completionPaths(facts, dialect, shape, []), ...modelPaths(dialect, shape) };
}

/** @param stages further ones, such as the deployment in the path */
export function completionPaths(
  facts: ApiFacts,
  dialect: Dialect,
  { base, tag, prefix, parameters = [], requests = '' }: Shape,
  stages: OperationFacts['stages'],
): Paths {
  const model = exampleModel(facts);
  const chat = {
    ...conversations(facts, (messages) => ({ model, messages, max_tokens: 24 })),
    stream: { model, messages: HELLO, max_tokens: 24, stream: true, stream_options: { include_usage: true } },
  };
  const prompt = { text: { model, prompt: 'The water', max_tokens: 24 } };
  return {
    [`${base}/chat/completions`]: {
      post: operation(dialect, {
        id: `${prefix}chat`,
        tag,
        summary: 'The answer to a conversation',
        parameters,
        request: { schema: `${requests}ChatRequest`, examples: chat },
        answer: 'ChatCompletion',
        event: 'ChatCompletionChunk',
        stages,
      }),
    },
    [`${base}/completions`]: {
      post: operation(dialect, {
        id: `${prefix}complete`,
        tag,
        summary: 'A bare prompt is continued',
        parameters,
        request: { schema: `${requests}CompletionRequest`, examples: prompt },
        answer: 'Completion',
        event: 'Completion',
        stages,
      }),
    },
  };
}

/** The list alone, for clients whose base URL lacks its /v1. */
export function modelsWithoutBase(dialect: Dialect): Paths {
  const [list] = Object.entries(modelPaths(dialect, { base: '', tag: TAG, prefix: 'bare_' }));
  return list === undefined ? {} : Object.fromEntries([list]);
}

function modelPaths(dialect: Dialect, { base, tag, prefix, parameters = [] }: Shape): Paths {
  return {
    [`${base}/models`]: {
      get: operation(dialect, {
        id: `${prefix}listModels`,
        tag,
        summary: 'What the caller may use',
        parameters,
        answer: 'ModelList',
        stages: [],
      }),
    },
    [`${base}/models/{id}`]: {
      get: operation(dialect, {
        id: `${prefix}getModel`,
        tag,
        summary: 'One model, by any of its names',
        parameters: ['id', ...parameters],
        answer: 'Model',
        stages: ['named'],
      }),
    },
  };
}

/** Responses without state, which are the same under each of their paths. */
export function responsesPaths(facts: ApiFacts, dialect: Dialect, shapes: readonly Shape[]): Paths {
  const model = exampleModel(facts);
  const examples = {
    text: { model, input: 'Say hello.', max_output_tokens: 24 },
    stream: { model, input: HELLO, max_output_tokens: 24, stream: true },
  };
  return Object.fromEntries(
    shapes.map(({ base, tag, prefix, parameters = [] }) => [
      `${base}/responses`,
      {
        post: operation(dialect, {
          id: `${prefix}respond`,
          tag,
          summary: 'The answer to a conversation; nothing is stored',
          parameters,
          request: { schema: 'ResponsesRequest', examples },
          answer: 'Response',
          event: 'ResponseEvent',
          stages: [],
        }),
      },
    ]),
  );
}

export function tokenizePaths(facts: ApiFacts, dialect: Dialect): Paths {
  const model = exampleModel(facts);
  return {
    '/tokenize': {
      post: operation(dialect, {
        id: 'tokenize',
        tag: TAG,
        summary: 'The tokens of a text or a conversation',
        request: { schema: 'TokenizeRequest', examples: { text: { model, prompt: 'Say hello.' } } },
        answer: 'TokenCount',
        stages: [],
      }),
    },
  };
}
