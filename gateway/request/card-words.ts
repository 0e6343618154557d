import type { ModelCard } from '#contract/model-card';
import { LARGEST_BATCH } from './chat.ts';
import { largestRatio } from './image-tokens.ts';

/** Pictures of a conversation that a card allows. */
export function mostImages({ limits, modalities }: ModelCard): number {
  return modalities.input.includes('image') ? limits.images_per_conversation : 0;
}

/** Prompts of a request that a card allows. */
export function mostPrompts({ limits }: ModelCard): number {
  return limits.batch ? LARGEST_BATCH : 1;
}

/** What a card allows, in words that follow its name: refusals begin with them, and pages list them. */
export function cardWords(card: ModelCard, maxChoices: number) {
  const { limits, tokens } = card;
  const images = mostImages(card);
  return {
    images:
      images === 0
        ? 'takes no image in a conversation'
        : `takes ${counted(images, 'image')} per conversation (all turns counted)`,
    sides: tokens.image === undefined ? undefined : sidesInWords(largestRatio(tokens.image)),
    context: `has a context of ${counted(limits.context_tokens, 'token')}`,
    answer: `gives at most ${counted(limits.max_output_tokens, 'token')} per answer`,
    prompts: `takes ${counted(mostPrompts(card), 'prompt')} per request`,
    choices: `gives ${counted(maxChoices, 'answer')} per request`,
    tools: limits.tools ? 'can call tools' : 'cannot call tools',
  };
}

/** The same as sentences. */
export function cardSentences(card: ModelCard, maxChoices: number): string[] {
  return Object.values(cardWords(card, maxChoices)).flatMap((words) =>
    words === undefined ? [] : [`${card.name} ${words}.`],
  );
}

/** @param allowed longer side of a picture, in shorter ones */
export function sidesInWords(allowed: number): string {
  return `takes pictures whose sides are at most ${allowed} to 1`;
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
