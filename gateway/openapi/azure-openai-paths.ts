import type { Dialect } from '../dialects/dialect.ts';
import type { ApiFacts } from './facts.ts';
import { completionPaths, openaiShaped } from './openai-paths.ts';
import type { Paths } from './operation.ts';

const TAG = 'Azure OpenAI';
const VERSION = ['api-version'] as const;

/** Azure OpenAI's routes: a deployment in the path, or the newer ones that name a model. */
export function azureOpenaiPaths(facts: ApiFacts, dialect: Dialect): Paths {
  const byPath = {
    base: '/openai/deployments/{deployment}',
    tag: TAG,
    prefix: 'deployment_',
    parameters: ['deployment', ...VERSION],
    requests: 'Deployment',
  } as const;
  return {
    ...completionPaths(facts, dialect, byPath, ['deployment']),
    ...openaiShaped(facts, dialect, { base: '/openai/v1', tag: TAG, prefix: 'azure_v1_', parameters: VERSION }),
    ...openaiShaped(facts, dialect, { base: '/openai', tag: TAG, prefix: 'azure_', parameters: VERSION }),
  };
}
