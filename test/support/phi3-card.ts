import { parseCatalog, type ModelCard } from '#contract/model-card';
import { readYamlFolder } from '#runtime/yaml-folder';

/** The card that the repository ships. */
export function phi3Card(): ModelCard {
  const card = parseCatalog(readYamlFolder('deploy/models')).find('Phi-3-vision-128k-instruct');
  if (card === undefined) throw new Error('the card of Phi-3-vision is missing');
  return card;
}
