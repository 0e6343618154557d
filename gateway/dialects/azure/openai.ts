import type { Failure } from '../../failure.ts';
import type { Dialect } from '../dialect.ts';
import { withVersion } from './describe.ts';
import { openaiCompletions } from '../openai/completions.ts';
import { errorObject, retryHeaders } from '../openai/errors.ts';
import { filteredPrompt } from './errors.ts';
import { openaiResponses } from '../openai/responses.ts';
import { openai } from '../openai/chat.ts';

/** Codes that Azure OpenAI's callers look for; all other failures keep their own code. */
const CODES: Readonly<Partial<Record<Failure['code'], string>>> = {
  unauthorized: '401',
  queue_full: '429',
  rate_limit_exceeded: '429',
  model_not_found: 'DeploymentNotFound',
  deployment_not_found: 'DeploymentNotFound',
};

/** Azure OpenAI's routes: requests and answers as in OpenAI's API, failures in the words of Azure's front end. */
const answers: Pick<Dialect, 'name' | 'requestIdHeader' | 'renderFailure' | 'renderStreamFailure'> = {
  name: 'azure_openai',
  requestIdHeader: 'apim-request-id',
  renderFailure: (failure) => {
    const retry = retryHeaders(failure);
    const seconds = retry['retry-after'];
    const headers = { 'content-type': 'application/json', ...retry };
    const said = seconds === undefined ? '' : `; please retry after ${seconds} second${seconds === '1' ? '' : 's'}`;
    return { status: failure.status, headers, body: JSON.stringify({ error: error(failure, said) }) };
  },
  renderStreamFailure: (failure) => `data: ${JSON.stringify({ error: error(failure) })}\n\n`,
};

export const azureOpenai: Dialect = {
  ...openai,
  ...answers,
  tellsFilterResults: true,
  describe: (described) => withVersion(openai.describe(described)),
};
export const azureOpenaiCompletions: Dialect = {
  ...openaiCompletions,
  ...answers,
  tellsFilterResults: true,
  describe: (described) => withVersion(openaiCompletions.describe(described)),
};
/** A stream of responses has its own form of failures. */
export const azureOpenaiResponses: Dialect = {
  ...openaiResponses,
  ...answers,
  describe: (described) => withVersion(openaiResponses.describe(described)),
  renderStreamFailure: (failure, eventsBefore) => openaiResponses.renderStreamFailure(failure, eventsBefore),
};

function error(failure: Failure, said = ''): object {
  const code = CODES[failure.code] ?? failure.code;
  return { ...errorObject(failure), code, message: failure.message + said, ...filteredPrompt(failure) };
}
