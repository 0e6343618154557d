import type { Catalog, ModelCard } from '#contract/model-card';

/** What the served cards and the operator's settings make of the API: numbers and names of its schemas. */
export interface ApiFacts {
  readonly cards: readonly ModelCard[];
  /** by which a caller may ask for a model */
  readonly names: readonly string[];
  /** an unknown name means the only model */
  readonly takesAnyName: boolean;
  /** an unknown name in Azure's header does, too */
  readonly takesAnyDeployment: boolean;
  /** this gateway as one deployment */
  readonly deploymentName: string;
  /** largest answer that may be asked for, in tokens; undefined: a larger one is cut to it */
  readonly mostTokens: number | undefined;
  readonly mostChoices: number;
  readonly body: BodyFacts;
}

/** What a body may be, with its pictures and without. */
interface BodyFacts {
  readonly limitBytes: number;
  readonly textBytes: number;
  readonly depth: number;
  readonly values: number;
  readonly texts: number;
}

export interface FactSources {
  readonly catalog: Catalog;
  readonly unknownModel: 'refuse' | 'single';
  readonly unknownDeployment: 'refuse' | 'single';
  readonly deploymentName: string;
  readonly policy: { readonly maxTokens: 'refuse' | 'clamp'; readonly maxChoices: number };
  readonly body: { readonly limitBytes: number };
  readonly structure: Omit<BodyFacts, 'limitBytes' | 'textBytes'> & { readonly bytes: number };
}

/** @param isSeen which models the document may tell of */
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
