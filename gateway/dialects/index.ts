import { anthropicCount, anthropicMessages } from './anthropic/messages.ts';
import { createAzureInference } from './azure/inference.ts';
import { azureOpenai, azureOpenaiCompletions, azureOpenaiResponses } from './azure/openai.ts';
import type { DeploymentBy } from './description.ts';
import type { Dialect } from './dialect.ts';
import { openai } from './openai/chat.ts';
import { openaiCompletions } from './openai/completions.ts';
import { openaiResponses } from './openai/responses.ts';
import { openaiTokenize } from './openai/tokenize.ts';
import type { ScoreErrors } from './score/failure.ts';
import { createAzureScore } from './score/score.ts';

export interface DialectSettings {
  /** name of this gateway as one deployment */
  readonly deploymentName: string;
  readonly scoreErrors: ScoreErrors;
  /** whether `/tokenize` is served */
  readonly tokenize: boolean;
}

/** Every API shape by its name; one that is switched off is undefined. */
export function createDialects({ deploymentName, scoreErrors, tokenize }: DialectSettings) {
  const inference = createAzureInference(deploymentName);
  return {
    openai,
    completions: openaiCompletions,
    responses: openaiResponses,
    tokenize: tokenize ? openaiTokenize : undefined,
    messages: anthropicMessages,
    countTokens: anthropicCount,
    score: createAzureScore({ deploymentName, errors: scoreErrors }),
    inference: inference.chat,
    inferenceCompletions: inference.completions,
    azureOpenai,
    azureOpenaiCompletions,
    azureOpenaiResponses,
  } satisfies Record<string, Dialect | undefined>;
}
export type Dialects = ReturnType<typeof createDialects>;

/** A path that takes a POST, and its dialect. */
export interface ServedRoute {
  /** with parameters in express' form */
  readonly path: string;
  readonly dialect: keyof Dialects;
  /** what chooses the model before the body is read */
  readonly deployment: DeploymentBy;
  /** which timeout applies; absent: the general one */
  readonly deadline?: 'score';
  /** its operation in the API's document, and the group of that operation */
  readonly id: string;
  readonly tag: string;
}
