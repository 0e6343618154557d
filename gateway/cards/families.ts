import type { z } from 'zod';
import type { ModelCard } from '#contract/model-card';

/** Facts of a model's architecture that no spec file has, because spec files hold no engine arguments. */
export interface Family {
  /** hub name of the weights */
  readonly weights: string;
  readonly trustRemoteCode: boolean;
  /** number of token ids of the model */
  readonly vocabulary: number;
  /** UTF-16 units of the vocabulary's longest token */
  readonly longestToken: number;
  /** source: the tokenizers' files on the hub, and the image processor, which knows `<|image_1|>` */
  readonly special: z.input<typeof ModelCard>['tokens']['special'];
  readonly images?: { readonly perConversation: number; readonly numCrops: number; readonly why: string };
}

const PHI_3 = {
  texts: ['<unk>', '<s>', '</s>', '<|{name}|>'],
  ids: [
    [0, 2],
    [32_000, 32_063],
  ],
  begin: 1,
} satisfies Family['special'];
const PHI_4 = { texts: ['<|{name}|>'], ids: [[100_256, 100_351]], begin: 100_257 } satisfies Family['special'];

/** By the catalog's name, in lower case. */
const FAMILIES: readonly (readonly [RegExp, Family])[] = [
  [
    /^phi-3-vision-128k/,
    {
      weights: 'microsoft/Phi-3-vision-128k-instruct',
      trustRemoteCode: true,
      vocabulary: 32_064,
      longestToken: 17,
      special: PHI_3,
      images: { perConversation: 1, numCrops: 16, why: "the catalog's card: one image per conversation" },
    },
  ],
  [
    /^phi-3\.5-vision/,
    {
      weights: 'microsoft/Phi-3.5-vision-instruct',
      trustRemoteCode: true,
      vocabulary: 32_064,
      longestToken: 17,
      special: PHI_3,
      images: {
        perConversation: 8,
        numCrops: 4,
        why: 'made for several images, with 4 crops each as its authors advise; you choose how many',
      },
    },
  ],
  [
    /^phi-4$/,
    { weights: 'microsoft/phi-4', trustRemoteCode: false, vocabulary: 100_352, longestToken: 128, special: PHI_4 },
  ],
];

/** @returns undefined for a model without known facts besides its spec file */
export function familyOf(name: string): Family | undefined {
  return FAMILIES.find(([pattern]) => pattern.test(name.toLowerCase()))?.[1];
}

/** Longest token of the vocabularies in use: 128 blanks. If it is too long, it only lets more requests through. */
export const UNKNOWN_LONGEST_TOKEN = 128;
