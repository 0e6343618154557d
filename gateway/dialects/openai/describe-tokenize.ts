import { z } from 'zod';
import type { Described, Description } from '../description.ts';
import { exampleModel } from '../reading/examples.ts';
import { MAY_BE_EMPTY } from '../reading/fields.ts';
import { conversationSchema } from '../reading/message-schema.ts';
import { columnOf } from '../reading/request-fields.ts';
import { TOOL_SCHEMAS } from '../reading/sampling.ts';
import { TEXT, envelope, known, optional } from '../reading/schemas.ts';
import { OPENAI_ERRORS } from './error-schemas.ts';

export function describeTokenize({ facts, message }: Described): Description {
  const rest = {
    model: envelope(facts, [])['model'] ?? TEXT,
    ...optional({ tools: TOOL_SCHEMAS.tools }),
    ...known(columnOf('tokenize')),
  };
  const messages = conversationSchema(message);
  return {
    summary: 'The tokens of a text or a conversation',
    request: { schema: 'TokenizeRequest', examples: { text: { model: exampleModel(facts), prompt: 'Say hello.' } } },
    answer: 'TokenCount',
    schemas: {
      ...OPENAI_ERRORS,
      TokenizeRequest: z.union([
        z.looseObject({ ...rest, messages, prompt: z.null().optional().meta(MAY_BE_EMPTY) }),
        z.looseObject({ ...rest, prompt: z.string(), messages: z.null().optional().meta(MAY_BE_EMPTY) }),
      ]),
      TokenCount: z.looseObject({
        count: z.int(),
        max_model_len: z.int(),
        tokens: z.array(z.int()),
        token_strs: z.array(z.string()).nullish(),
      }),
    },
  };
}
