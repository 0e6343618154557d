import { Document, isMap, isPair, isScalar, type YAMLMap } from 'yaml';
import { problemsOf } from './check-card.ts';
import { draftCard, type Note } from './draft.ts';
import { readFacts } from './spec-facts.ts';
import { SpecFile } from './spec-file.ts';

export interface ImportedCard {
  readonly name: string;
  /** a commented card without problems by `problemsOf` */
  readonly yaml: string;
  readonly notes: readonly Note[];
  /** facts of the spec file that a card has no field for */
  readonly left: readonly string[];
}

/**
 * A model card from a spec file of Azure's model catalog, of either generation.
 * @param text of `spec.yaml`
 * @throws Error in one sentence: invalid YAML, no spec file, no name, a task that cannot be served
 */
export function importCard(text: string): ImportedCard {
  const spec = new SpecFile(text);
  const { card, notes } = draftCard(readFacts(spec));
  const document = new Document(card);
  document.commentBefore = ` ${card.name}, from its spec file in Azure's model catalog. A comment names the source of each field.\n Check all guessed fields before you serve it.`;
  for (const note of notes) comment(document, note);
  const yaml = document.toString({ lineWidth: 0, singleQuote: true });
  const problems = problemsOf(document.toJS());
  if (problems.length > 0) throw new Error(`no card can be made from this file: ${problems.join(' ')}`);
  return { name: card.name, yaml, notes, left: spec.left() };
}

function comment(document: Document, { field, how, why }: Note): void {
  const path = field.split('.');
  const last = path.pop();
  const parent = path.length === 0 ? document.contents : document.getIn(path, true);
  if (!isMap(parent)) return;
  const pair = (parent as YAMLMap).items.find(({ key }) => isScalar(key) && key.value === last);
  if (!isPair(pair) || !isScalar(pair.key)) return;
  pair.key.commentBefore = how === 'took' ? ` ${why} of the spec file` : ` guessed: ${why}`;
}
