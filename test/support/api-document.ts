import { parseCatalog, type Catalog, type ModelCard } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';
import { createDialects } from '../../gateway/dialects/index.ts';
import { ROUTES } from '../../gateway/http/routes.ts';
import { openApiDocument } from '../../gateway/openapi/document.ts';
import { apiFacts, type FactSources } from '../../gateway/openapi/facts.ts';

const deploymentName = 'penstock';

/** Every dialect, as the gateway wires them. */
export const DIALECTS = (() => {
  const { tokenize, ...dialects } = createDialects({ deploymentName, scoreErrors: 'endpoint', tokenize: true });
  if (tokenize === undefined) throw new Error('/tokenize was asked for');
  return { tokenize, ...dialects };
})();

let shipped: Catalog | undefined;

/** The cards of the package, read once. */
function shippedCards(): Catalog {
  return (shipped ??= parseCatalog(readYamlFolder('deploy/models')));
}

/** The settings' defaults, with these cards. */
export function factSources(catalog = shippedCards()): FactSources {
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

/** The document of these sources, for a caller who may use these cards. */
export function documentOf(sources = factSources(), isSeen: (card: ModelCard) => boolean = () => true) {
  return openApiDocument(apiFacts(sources, isSeen), { routes: ROUTES, dialects: DIALECTS, absent: [] });
}
