import { z } from 'zod';
import { USUAL_SPECIAL_TOKENS } from './special-tokens.ts';

const tokens = z.number().int().positive();
const id = z.number().int().nonnegative();

/** One file of the weights, as it must be. */
const WeightFile = z.strictObject({
  /** below the folder of the weights */
  path: z
    .string()
    .regex(/^(?!\/)(?!.*(?:^|\/)\.)[\w ./+=@,()-]{1,512}$/, 'must be a path below the folder, without hidden names'),
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
});
export type WeightFile = z.infer<typeof WeightFile>;

/** One served model: its limits, its hardware, and how its engine is started. One YAML file each. */
export const ModelCard = z.strictObject({
  /** the name that answers carry and that clients may send in `model` */
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,254}$/),
  version: z.string(),
  /** release day of the model, which OpenAI's model list gives as `created`; absent: 0 in that list */
  released: z.iso.date().optional(),
  /** further names that clients may send in `model` */
  aliases: z.array(z.string().min(1)).default([]),
  /** day on which Azure ended its inference */
  retired: z.iso.date().optional(),
  /** languages that it was made for, as ISO 639-1 codes */
  languages: z
    .array(z.string().regex(/^[a-z]{2}$/))
    .min(1)
    .optional(),
  publisher: z.string().optional(),
  license: z.string().optional(),
  /** what its publisher says about responsible use, in short, and where the whole text is */
  responsible_use: z
    .strictObject({ notice: z.string().min(1).max(1_000), link: z.url({ protocol: /^https$/ }) })
    .optional(),
  task: z.enum(['chat-completion', 'text-generation']),
  modalities: z.strictObject({
    input: z.array(z.enum(['text', 'image'])).min(1),
    output: z.array(z.literal('text')).min(1),
  }),
  /**
   * special tokens of the model in callers' texts: read as ordinary letters, refused, or passed on. If they are passed
   * on, a text can write a system message.
   */
  special_tokens: z.enum(['neutralise', 'refuse', 'pass']).default('neutralise'),
  limits: z.strictObject({
    /** images in the entire conversation, earlier messages included */
    images_per_conversation: z.number().int().nonnegative(),
    /** prompt, image tokens and answer together */
    context_tokens: tokens,
    /** limit for the answer length that a caller may request */
    max_output_tokens: tokens,
    /** answer length if the caller gives none */
    default_output_tokens: tokens,
    /** several conversations or prompts in one request, batch routes */
    batch: z.boolean(),
    /** the model was trained to call tools, and its engine arguments name a parser for these calls */
    tools: z.boolean().default(false),
  }),
  tokens: z.strictObject({
    /** number of token ids of the model (`vocab_size` of its config.json); absent: ids are not checked against it */
    vocabulary: tokens.optional(),
    /** characters of the vocabulary's longest token: characters / this = a lower bound of a prompt's tokens */
    longest_token_characters: z.number().int().positive(),
    /** texts and ids that tokenizer and image processor treat as special; a card without them gets the usual ones */
    special: z
      .strictObject({
        /** as they are written; `{name}` stands for any name */
        texts: z
          .array(z.string().min(2))
          .min(1)
          .default([...USUAL_SPECIAL_TOKENS]),
        /** first and last id of each range */
        ids: z.array(z.tuple([id, id])).default([]),
        /** the special token that may begin a prompt */
        begin: id.optional(),
      })
      .prefault({}),
    /** how tokens are computed from an image's size; absent for a text model */
    image: z
      .discriminatedUnion('formula', [
        /** tiles of 336 px, scaled up to fill them (source: vLLM's Phi3V processor) */
        z.strictObject({ formula: z.literal('phi3_v'), num_crops: z.number().int().positive() }),
      ])
      .optional(),
  }),
  hardware: z.strictObject({
    /** Azure VM sizes on which the card allows inference */
    allowed_skus: z.array(z.string()).min(1),
    min_vcpus: z.number().int().positive(),
    min_gpus: z.number().int().positive(),
    min_memory_gib: z.number().positive(),
    min_disk_gib: z.number().positive(),
    /** for flash attention, as NVIDIA numbers its architectures: 8 for Ampere */
    min_compute_capability: z.number().positive().optional(),
    /** parts of the names of GPUs that its publisher tested */
    tested_gpus: z.array(z.string().min(1)).min(1).optional(),
  }),
  engine: z.strictObject({
    supported: z.array(z.literal('vllm')).min(1),
    /** hub name or folder of the weights */
    weights: z.string().min(1),
    /** commit that pins weights, code and tokenizer of a hub name */
    revision: z.string().optional(),
    /** files of that commit, written by `penstock weights lock`; absent: only their presence is checked */
    files: z.array(WeightFile).min(1).max(1_000).optional(),
    trust_remote_code: z.boolean(),
    mm_processor_kwargs: z.record(z.string(), z.json()).optional(),
    /** requests that one engine works on at a time; it queues further ones */
    max_in_flight: z.strictObject({
      text: z.number().int().positive(),
      image: z.number().int().nonnegative(),
    }),
    /** further `vllm serve` arguments */
    args: z.array(z.string()).default([]),
  }),
});
export type ModelCard = z.infer<typeof ModelCard>;

/** The served models, found by name, alias or deployment. */
export interface Catalog {
  readonly cards: readonly ModelCard[];
  /** further names of the cards for Azure's clients, given by the operator */
  readonly deployments: ReadonlyMap<string, ModelCard>;
  /** Ignores the case of letters. @returns undefined if no card has that name */
  find(name: string): ModelCard | undefined;
}

/**
 * Builds the catalog from parsed card files.
 * @param deployments each a further name, and the name or alias of its card
 * @throws Error that names the file and every bad field, a name of two cards, or a deployment without a card
 */
export function parseCatalog(
  files: readonly { readonly file: string; readonly value: unknown }[],
  deployments: readonly (readonly [name: string, card: string])[] = [],
): Catalog {
  if (files.length === 0) throw new Error('no model card found');
  const cards = files.map(({ file, value }) => {
    const parsed = ModelCard.safeParse(value);
    if (!parsed.success) throw new Error(`model card ${file}:\n${z.prettifyError(parsed.error)}`);
    const { limits } = parsed.data;
    if (limits.max_output_tokens > limits.context_tokens || limits.default_output_tokens > limits.max_output_tokens)
      throw new Error(`model card ${file}: default_output_tokens <= max_output_tokens <= context_tokens does not hold`);
    return parsed.data;
  });
  const byName = new Map<string, ModelCard>();
  for (const card of cards) {
    for (const name of new Set([card.name, ...card.aliases])) {
      if (byName.has(name)) throw new Error(`two model cards have the name ${name}`);
      byName.set(name, card);
    }
  }
  const anyCase = new Map<string, ModelCard | undefined>();
  for (const [name, card] of byName) {
    const small = name.toLowerCase();
    // Two cards whose names differ only in the case of letters are found by their exact names only.
    anyCase.set(small, (anyCase.get(small) ?? card) === card ? card : undefined);
  }
  const named = new Map<string, ModelCard>();
  for (const [name, cardName] of deployments) {
    const card = byName.get(cardName);
    if (card === undefined)
      throw new Error(`the deployment ${name} names the model card ${cardName}, which does not exist`);
    if ((named.get(name) ?? byName.get(name) ?? card) !== card)
      throw new Error(`the deployment ${name} has the name of another model`);
    named.set(name, card);
  }
  return {
    cards,
    deployments: named,
    find: (name) => byName.get(name) ?? named.get(name) ?? anyCase.get(name.toLowerCase()),
  };
}
