import type { Catalog, ModelCard } from '#contract/model-card';

/** @throws Error that lists the cards if `name` selects none, or is missing while there are several */
export function chooseCard(catalog: Catalog, name: string | undefined): ModelCard {
  const card = name === undefined && catalog.cards.length === 1 ? catalog.cards[0] : catalog.find(name ?? '');
  if (card !== undefined) return card;
  const names = catalog.cards.map((known) => known.name).join(', ');
  throw new Error(`set WORKER_MODEL to one of the model cards: ${names}`);
}
