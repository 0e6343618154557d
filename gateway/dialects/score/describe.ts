import { z } from 'zod';
import { LARGEST_BATCH } from '../../request/chat.ts';
import { AZURE_ERROR } from '../azure/describe.ts';
import type { ApiFacts, Described, Description } from '../description.ts';
import { conversations } from '../reading/examples.ts';
import { LIMITS } from '../reading/limits.ts';
import { columnOf, type Route } from '../reading/request-fields.ts';
import { TEXT, known, lengths } from '../reading/schemas.ts';
import type { ScoreErrors } from './failure.ts';

export function describeScore({ facts, message }: Described, errors: ScoreErrors): Description {
  const { cards } = facts;
  const parameters = { max_new_tokens: 24 };
  const examples = cards.every(({ task }) => task === 'chat-completion')
    ? conversations(facts, (messages) => ({ input_data: { input_string: messages, parameters } }))
    : { prompts: { input_data: { input_string: ['The water'], parameters } } };
  const isText = cards.some(({ task }) => task === 'text-generation');
  const isChat = cards.length === 0 || cards.some(({ task }) => task === 'chat-completion');
  return {
    summary: 'The answer to a conversation, or the continuation of prompts, by the task of the model',
    request: { schema: 'ScoreRequest', examples },
    answer: errors === 'strict-compat' ? 'HiddenScoreAnswer' : 'ScoreAnswer',
    schemas: {
      ...AZURE_ERROR,
      ScoreRequest: scoreSchema(facts, message),
      ScoreAnswer: z.union([
        ...(isChat ? [z.object({ output: z.string() })] : []),
        ...(isText ? [z.array(z.string()), z.array(z.record(z.string(), z.string()))] : []),
      ]),
      HiddenScoreAnswer: z.looseObject({ output: z.string().optional() }).describe('empty after a failure'),
    },
  };
}

function scoreSchema(facts: ApiFacts, message: z.ZodType): z.ZodType {
  const parametersOf = (task: Route) =>
    z
      .looseObject({
        ...lengths(facts, ['max_new_tokens', 'max_gen_len', 'max_tokens']),
        n: z.int().min(1).max(facts.mostChoices).nullish(),
        ...known(columnOf(task)),
      })
      .nullish()
      .describe('a parameter that is not named here has no effect, and is named in x-penstock-ignored');
  const prompts = z.array(TEXT).min(1);
  const sees = facts.cards.some(({ modalities }) => modalities.input.includes('image'));
  const conversation = z.looseObject({
    input_data: z.looseObject({
      input_string: z.array(message).min(1).max(LIMITS.messages.most),
      parameters: parametersOf(sees ? 'score-pictures' : 'score-chat'),
    }),
  });
  const parameters = parametersOf('score-prompts');
  const several = facts.cards.some(({ limits }) => limits.batch) ? prompts.max(LARGEST_BATCH) : prompts.max(1);
  const generation = [
    z.looseObject({ input_data: z.looseObject({ input_string: several, parameters }) }),
    z.looseObject({ input_data: several, params: parameters }),
  ];
  const tasks = new Set(facts.cards.map(({ task }) => task));
  if (!tasks.has('text-generation')) return conversation;
  return z.union(tasks.has('chat-completion') ? [conversation, ...generation] : generation);
}
