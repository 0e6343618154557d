import type { Catalog, ModelCard } from '#contract/model-card';
import type { ApiFacts, BodyFacts } from '../dialects/description.ts';

export interface FactSources {
  readonly catalog: Catalog;
  readonly unknownModel: 'refuse' | 'single';
  readonly unknownDeployment: 'refuse' | 'single';
  readonly deploymentName: string;
  readonly policy: { readonly maxTokens: 'refuse' | 'clamp'; readonly maxChoices: number };
  readonly body: { readonly limitBytes: number };
  readonly structure: Omit<BodyFacts, 'limitBytes' | 'textBytes'> & { readonly bytes: number };
}

/** @param isSeen selects the models that the document may list */
export function apiFacts(sources: FactSources, isSeen: (card: ModelCard) => boolean): ApiFacts {
  const { catalog, unknownModel, unknownDeployment, deploymentName, policy, structure } = sources;
  const cards = catalog.cards.filter(isSeen);
  const deployments = [...catalog.deployments].filter(([, card]) => isSeen(card)).map(([name]) => name);
  const most = Math.max(...cards.map(({ limits }) => limits.max_output_tokens));
  return {
    cards,
    names: [...new Set([...cards.flatMap(({ name, aliases }) => [name, ...aliases]), ...deployments])],
    takesAnyName: unknownModel === 'single' && catalog.cards.length === 1,
    takesAnyDeployment: unknownDeployment === 'single' && catalog.cards.length === 1,
    deploymentName,
    mostTokens: policy.maxTokens === 'refuse' && cards.length > 0 ? most : undefined,
    mostChoices: policy.maxChoices,
    body: { ...structure, limitBytes: sources.body.limitBytes, textBytes: structure.bytes },
  };
}
