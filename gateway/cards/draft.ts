import type { z } from 'zod';
import type { ModelCard } from '#contract/model-card';
import { UNKNOWN_LONGEST_TOKEN, familyOf, type Family } from './families.ts';
import type { SpecFacts } from './spec-facts.ts';
import type { Found } from './spec-file.ts';

/** The source of a field of the card. */
export interface Note {
  /** the card's field, such as `limits.context_tokens` */
  readonly field: string;
  readonly how: 'took' | 'guessed';
  /** the path in the spec file, or the reason of the guess */
  readonly why: string;
}

export interface Draft {
  readonly card: z.input<typeof ModelCard>;
  readonly notes: readonly Note[];
}

const SAFE_CONTEXT = 4_096;
const USUAL_ANSWER = 4_096;
/** The smallest machine with a GPU of 80 GB in Azure's catalog. */
const USUAL_SKU = { name: 'Standard_NC24ads_A100_v4', vcpus: 24, gpus: 1, memoryGib: 220, diskGib: 64 } as const;

/**
 * Drafts a card from the facts of a spec file. Facts that the file lacks are guessed on the safe side, and each field's
 * note says so.
 * @throws Error in one sentence if the file has no usable name, or a task that answers no text
 */
export function draftCard(facts: SpecFacts): Draft {
  const notes: Note[] = [];
  const note = <T>(field: string, how: Note['how'], why: string, value: T): T => {
    notes.push({ field, how, why });
    return value;
  };
  const took = <T>(field: string, { path, value }: Found<T>): T => note(field, 'took', path, value);
  /** The fact, or else the guess. */
  const pick = <T>(
    field: string,
    found: Found<T> | undefined,
    guess: { readonly value: T; readonly why: string },
  ): T => (found === undefined ? note(field, 'guessed', guess.why, guess.value) : took(field, found));

  const { name: named } = facts;
  if (named === undefined) throw new Error('it has no name');
  const name = took('name', named);
  const family = familyOf(name);
  const version = pick('version', facts.version, { value: '1', why: 'the file has none' });
  const task = taskOf(facts, pick);
  const input = inputsOf(facts, family, name, pick);
  const images = input.includes('image');
  const limits = limitsOf(facts, family, { name, images }, pick);
  const hub = pick('engine.weights', facts.hubName, weightsOf(facts, family, name));
  const revision = facts.hubName === undefined ? undefined : facts.revision;
  if (revision !== undefined) took('engine.revision', revision);
  const least = pick('hardware.min_vcpus', facts.leastSku, { value: USUAL_SKU, why: `that of ${USUAL_SKU.name}` });
  const kwargs = images && family?.images !== undefined ? { num_crops: family.images.numCrops } : undefined;
  if (kwargs !== undefined)
    note('tokens.image', 'guessed', "of the model's family; mm_processor_kwargs below has the same number", undefined);
  else if (images)
    note(
      'tokens',
      'guessed',
      'how pictures become tokens is not known for this model; the engine counts them',
      undefined,
    );
  const ofFamily = family === undefined ? 'the family of the model is unknown' : "of the model's family";

  const card = {
    name,
    version,
    aliases: note('aliases', 'guessed', 'the hub name of the weights', hub === name ? [] : [hub]),
    ...(facts.retired === undefined ? {} : { retired: took('retired', facts.retired) }),
    ...(facts.languages === undefined ? {} : { languages: took('languages', facts.languages) }),
    ...(facts.publisher === undefined ? {} : { publisher: took('publisher', facts.publisher) }),
    ...(facts.license === undefined ? {} : { license: took('license', facts.license) }),
    task,
    modalities: { input, output: ['text' as const] },
    limits,
    tokens: {
      ...(family === undefined
        ? {}
        : { vocabulary: note('tokens.vocabulary', 'guessed', ofFamily, family.vocabulary) }),
      longest_token_characters: note(
        'tokens.longest_token_characters',
        'guessed',
        ofFamily,
        family?.longestToken ?? UNKNOWN_LONGEST_TOKEN,
      ),
      ...(family?.special === undefined
        ? {}
        : { special: note('tokens.special', 'guessed', ofFamily, family.special) }),
      ...(kwargs === undefined ? {} : { image: { formula: 'phi3_v' as const, ...kwargs } }),
    },
    hardware: {
      allowed_skus: pick('hardware.allowed_skus', facts.skus, { value: [USUAL_SKU.name], why: 'the file names none' }),
      min_vcpus: least.vcpus,
      min_gpus: least.gpus,
      min_memory_gib: least.memoryGib,
      min_disk_gib: least.diskGib,
    },
    engine: {
      supported: supportedBy(facts, note),
      weights: hub,
      ...(revision === undefined ? {} : { revision: revision.value }),
      trust_remote_code: note(
        'engine.trust_remote_code',
        'guessed',
        family === undefined ? `${ofFamily}; true would run code that comes with the weights` : ofFamily,
        family?.trustRemoteCode ?? false,
      ),
      ...(kwargs === undefined ? {} : { mm_processor_kwargs: kwargs }),
      max_in_flight: note(
        'engine.max_in_flight',
        'guessed',
        'as measured for Phi-3-vision on one 80 GB GPU; measure yours',
        {
          text: 256,
          image: images ? 32 : 0,
        },
      ),
    },
  };
  return { card, notes };
}

type Pick = <T>(field: string, found: Found<T> | undefined, guess: { readonly value: T; readonly why: string }) => T;

function taskOf({ task }: SpecFacts, pick: Pick): ModelCard['task'] {
  const chat = { value: 'chat-completion' as const, why: 'the file has no task' };
  if (task === undefined) return pick('task', undefined, chat);
  if (task.value === 'image-text-to-text')
    return pick('task', undefined, { ...chat, why: `${task.path} says image-text-to-text, which is asked as a chat` });
  if (task.value !== 'chat-completion' && task.value !== 'text-generation')
    throw new Error(`its task is ${task.value}, and only chat-completion and text-generation can be served`);
  return pick('task', { ...task, value: task.value }, chat);
}

function inputsOf(facts: SpecFacts, family: Family | undefined, name: string, pick: Pick): ('text' | 'image')[] {
  const known = (['text', 'image'] as const).filter((kind) => facts.inputs?.value.includes(kind));
  if (facts.inputs !== undefined && known.length > 0)
    return pick('modalities.input', { ...facts.inputs, value: known }, { value: known, why: '' });
  const seesPictures =
    family?.images !== undefined || facts.task?.value === 'image-text-to-text' || /vision|llava|vl\b/i.test(name);
  return pick('modalities.input', undefined, {
    value: seesPictures ? ['text', 'image'] : ['text'],
    why: 'the file has no modalities; by its name and task',
  });
}

function limitsOf(
  facts: SpecFacts,
  family: Family | undefined,
  model: { readonly name: string; readonly images: boolean },
  pick: Pick,
): z.input<typeof ModelCard>['limits'] {
  const images = model.images ? (family?.images?.perConversation ?? 1) : 0;
  const whyImages = model.images
    ? (family?.images?.why ?? 'one, until you know that it takes more')
    : 'it reads text only';
  const thousands = /(\d{1,4})k(?![a-z])/i.exec(model.name)?.[1];
  const context = pick(
    'limits.context_tokens',
    facts.contextTokens,
    thousands === undefined
      ? { value: SAFE_CONTEXT, why: 'the file says nothing; see max_position_embeddings of the weights' }
      : { value: Number(thousands) * 1_024, why: `by its name, which says ${thousands}k` },
  );
  const said = facts.maxOutputTokens;
  const most = pick('limits.max_output_tokens', said === undefined || said.value > context ? undefined : said, {
    value: Math.min(USUAL_ANSWER, context),
    why: said === undefined ? 'the file states no maximum' : `${said.path} is larger than the context`,
  });
  return {
    images_per_conversation: pick('limits.images_per_conversation', undefined, { value: images, why: whyImages }),
    context_tokens: context,
    max_output_tokens: most,
    default_output_tokens: pick('limits.default_output_tokens', undefined, { value: most, why: 'the largest answer' }),
    batch: pick('limits.batch', facts.batch, {
      value: true,
      why: 'the file forbids none, which in the catalog allows it',
    }),
    tools: pick('limits.tools', undefined, { value: false, why: 'an engine needs a parser for its calls first' }),
  };
}

function weightsOf(facts: SpecFacts, family: Family | undefined, name: string): { value: string; why: string } {
  if (family !== undefined) return { value: family.weights, why: "of the model's family" };
  const owner = facts.publisher?.value.toLowerCase().replace(/[^a-z0-9-]+/g, '-') ?? 'unknown';
  return { value: `${owner}/${name}`, why: 'publisher and name; look it up, or give a folder' };
}

function supportedBy(
  { engines }: SpecFacts,
  note: <T>(field: string, how: Note['how'], why: string, value: T) => T,
): ['vllm'] {
  if (engines?.value.includes('vllm') === true) return note('engine.supported', 'took', engines.path, ['vllm']);
  const why =
    engines === undefined
      ? 'the file names no engine; see whether vLLM serves this architecture'
      : `${engines.path} names ${engines.value.join(', ')} only; see whether vLLM serves this architecture`;
  return note('engine.supported', 'guessed', why, ['vllm']);
}
