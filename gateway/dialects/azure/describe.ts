import { z } from 'zod';
import type { Described, Description } from '../description.ts';
import { chatShape, completionShape, describeChat, describeCompletions } from '../openai/describe.ts';
import { ERROR } from '../openai/error-schemas.ts';
import { conversations, exampleModel } from '../reading/examples.ts';
import { columnOf, type Column } from '../reading/request-fields.ts';
import { only, unreadModel } from '../reading/schemas.ts';

export const AZURE_ERROR = {
  AzureError: z.looseObject({
    error: z.looseObject({ ...ERROR, status: z.int(), details: z.array(z.looseObject({})).max(0) }),
    detail: z
      .array(
        z.looseObject({
          type: z.string(),
          loc: z.array(z.union([z.string(), z.int()])),
          msg: z.string(),
        }),
      )
      .optional(),
  }),
};

const text = { type: 'string' } as const;
const VERSION = {
  'api-version': { name: 'api-version', in: 'query', description: 'any value is accepted', schema: text },
};

/** Azure OpenAI's routes take the same fields as OpenAI's, and any version. */
export function withVersion(described: Description): Description {
  return { ...described, parameters: VERSION };
}

/** @param modes values of the header that decides how unknown fields are treated */
export function describeInferenceChat(described: Described, modes: readonly string[]): Description {
  const model = exampleModel(described.facts);
  const examples = conversations(described.facts, (messages) => ({ model, messages, max_tokens: 24 }));
  const schema = schemaOf(chatShape(described), columnOf('inference-chat'), described);
  return inference(describeChat(described), 'InferenceChatRequest', schema, examples, modes);
}

export function describeInferenceCompletions(described: Described, modes: readonly string[]): Description {
  const whole = describeCompletions(described);
  const schema = schemaOf(completionShape(described), columnOf('inference-completions'), described);
  return inference(whole, 'InferenceCompletionRequest', schema, whole.request.examples, modes);
}

function inference(
  { schemas, ...described }: Description,
  name: string,
  request: z.ZodType,
  examples: Description['request']['examples'],
  modes: readonly string[],
): Description {
  return {
    ...described,
    parameters: {
      ...VERSION,
      'extra-parameters': header('extra-parameters', 'how fields are treated that this API does not know', {
        enum: [...modes, ''],
        default: modes[0],
      }),
      'x-ms-model-mesh-model-name': header('x-ms-model-mesh-model-name', 'the model, if the body names none', text),
    },
    request: { schema: name, examples },
    schemas: { ...schemas, ...AZURE_ERROR, [name]: request },
  };
}

const EXTRAS = 'Any other field is an extra parameter: the header `extra-parameters` decides how it is treated.';

function schemaOf(shape: Record<string, z.ZodType>, column: Column, { facts }: Described): z.ZodType {
  return z.looseObject({ ...only(shape, column), ...unreadModel(facts) }).describe(EXTRAS);
}

function header(name: string, description: string, schema: object): object {
  return { name, in: 'header', description, schema };
}
