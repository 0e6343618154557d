import { parseCatalog, type Catalog, type ModelCard } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';
import { createAzureInference } from '../../gateway/dialects/azure/inference.ts';
import { azureOpenai, azureOpenaiCompletions, azureOpenaiResponses } from '../../gateway/dialects/azure/openai.ts';
import { createAzureScore } from '../../gateway/dialects/score/score.ts';
import { openaiCompletions } from '../../gateway/dialects/openai/completions.ts';
import { openaiResponses } from '../../gateway/dialects/openai/responses.ts';
import { openaiTokenize } from '../../gateway/dialects/openai/tokenize.ts';
import { openai } from '../../gateway/dialects/openai/chat.ts';
import { openApiDocument } from '../../gateway/openapi/document.ts';
import { apiFacts, type FactSources } from '../../gateway/openapi/facts.ts';

const deploymentName = 'penstock';
const inference = createAzureInference(deploymentName);

/** Every dialect, as the gateway wires them. */
export const DIALECTS = {
  openai,
  completions: openaiCompletions,
  responses: openaiResponses,
  tokenize: openaiTokenize,
  score: createAzureScore({ deploymentName }),
  inference: inference.chat,
  inferenceCompletions: inference.completions,
  azureOpenai,
  azureOpenaiCompletions,
  azureOpenaiResponses,
};

/** The settings' defaults, with these cards. */
export function factSources(catalog: Catalog = parseCatalog(readYamlFolder('deploy/models'))): FactSources {
  return {
    catalog,
    unknownModel: 'refuse',
    unknownDeployment: 'single',
    deploymentName,
    policy: { maxTokens: 'refuse', maxChoices: 1 },
    body: { limitBytes: 20_000_000 },
    structure: { bytes: 4_194_304, depth: 100, values: 262_144, texts: 32_768 },
  };
}

/** The document of these sources, as one who may use these cards sees it. */
export function documentOf(sources = factSources(), isSeen: (card: ModelCard) => boolean = () => true) {
  return openApiDocument(apiFacts(sources, isSeen), DIALECTS, []);
}
