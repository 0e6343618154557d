import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { problemsBetween, problemsOfText, valueOf } from '../../../gateway/cards/check-card.ts';
import { importCard, type ImportedCard } from '../../../gateway/cards/import-card.ts';
import { asCount, asFlag, asList, asSkuSpec } from '../../../gateway/cards/loose-values.ts';
import { ModelCard } from '../../../gateway/contract/model-card.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const FOLDER = 'test/fixtures/spec';
const SPECS = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml') && !name.startsWith('embedder'));
const imported = (name: string): ImportedCard => importCard(readFileSync(`${FOLDER}/${name}`, 'utf8'));
const cardOf = (name: string): ModelCard => ModelCard.parse(parse(imported(name).yaml));
const how = (name: string): Record<string, string> =>
  Object.fromEntries(imported(name).notes.map((note) => [note.field, note.how]));

test('at least six spec files exist, of both generations', () => {
  expect(SPECS.length).toBeGreaterThanOrEqual(6);
});

test.each(SPECS)('%s becomes a valid card, and each of its fields names its source', (name) => {
  const { yaml, notes, left } = imported(name);
  expect(problemsOfText(yaml)).toEqual([]);
  expect(problemsBetween([{ file: name, value: valueOf(yaml) }])).toEqual([]);
  for (const field of ['name', 'task', 'limits.batch', 'limits.context_tokens', 'engine.weights', 'hardware.min_vcpus'])
    expect(notes.filter((note) => note.field === field)).toHaveLength(1);
  expect(yaml.match(/^ *# (?:.+ of the spec file|guessed: .+)$/gm)?.length).toBe(notes.length);
  expect(left.length).toBeGreaterThan(0);
});

test('both generations of one model become the same card, equal to the shipped card', () => {
  const card = cardOf('phi-3-vision-old.yaml');
  const { retired, ...newer } = cardOf('phi-3-vision-new.yaml');
  expect(card).toEqual(newer);
  // Only the shipped card has further names, a release date, a notice on responsible use, what its GPUs must have, and the commit of the weights.
  const { aliases, engine, released, hardware, responsible_use: use, ...shipped } = phi3Card();
  expect(released).toBeDefined();
  expect(use?.notice).toMatch(/stereotypes/);
  expect(shipped.retired).toBe(retired);
  const { retired: _day, ...rest } = shipped;
  const { min_compute_capability: least, tested_gpus: tested, ...hardwareRest } = hardware;
  expect([least, tested]).toEqual([8, ['A100', 'A6000', 'H100']]);
  const { revision, ...engineRest } = engine;
  expect(revision).toBeDefined();
  expect(aliases).toEqual(expect.arrayContaining(card.aliases));
  expect(card).toEqual({ ...rest, aliases: card.aliases, engine: engineRest, hardware: hardwareRest });
});

test('old quirks are accepted: words for booleans, comma-separated text, trailing blanks, flags without a value', () => {
  const old = how('phi-3-vision-old.yaml');
  for (const field of ['task', 'publisher', 'license', 'limits.batch', 'hardware.allowed_skus', 'engine.supported'])
    expect([field, old[field]]).toEqual([field, 'took']);
  for (const field of ['limits.context_tokens', 'limits.max_output_tokens', 'engine.weights', 'modalities.input'])
    expect([field, old[field]]).toEqual([field, 'guessed']);
});

test.each([
  ['phi-3.5-vision-new.yaml', 'deploy/models/more/phi-3.5-vision-instruct.yaml'],
  ['phi-4-new.yaml', 'deploy/models/more/phi-4.yaml'],
])(
  'the shipped card of %s is the imported one, plus its release date with a source, which no spec file has',
  (spec, card) => {
    const [day, ...others] = readFileSync(card, 'utf8').match(/^(?:# .+\n)+released: '\d{4}-\d\d-\d\d'\n/gm) ?? [];
    expect([day, others]).toEqual([expect.stringMatching(/^# Release date in /), []]);
    expect(readFileSync(card, 'utf8').replace(day ?? '', '')).toBe(imported(spec).yaml);
  },
);

test('the shipped cards can be served together', () => {
  const files = ['phi-3-vision-128k-instruct', 'more/phi-3.5-vision-instruct', 'more/phi-4'];
  const cards = files.map((name) => {
    const text = readFileSync(`deploy/models/${name}.yaml`, 'utf8');
    expect([name, problemsOfText(text)]).toEqual([name, []]);
    return { file: name, value: valueOf(text) };
  });
  expect(problemsBetween(cards)).toEqual([]);
});

test('several images, numbers as text: Phi-3.5-vision; fields that contradict system_metadata are left out', () => {
  const { limits, modalities, tokens } = cardOf('phi-3.5-vision-new.yaml');
  expect(modalities.input).toEqual(['text', 'image']);
  expect(limits).toMatchObject({ context_tokens: 131_072, max_output_tokens: 4_096, batch: false });
  expect(limits.images_per_conversation).toBeGreaterThan(1);
  expect(tokens.image?.num_crops).toBe(4);
  expect(imported('phi-3.5-vision-new.yaml').left).toContain('tags.textContextWindow (8192)');
});

test('a text model: Phi-4 accepts no image', () => {
  const { limits, modalities, tokens, engine } = cardOf('phi-4-new.yaml');
  expect(modalities.input).toEqual(['text']);
  expect(limits).toMatchObject({ images_per_conversation: 0, context_tokens: 16_384, max_output_tokens: 16_384 });
  expect(tokens.image).toBeUndefined();
  expect(engine).toMatchObject({ trust_remote_code: false, max_in_flight: { image: 0 } });
  // A commit without its hub name pins nothing.
  expect(engine.revision).toBeUndefined();
  expect(imported('phi-4-new.yaml').left.join()).toContain('properties.SHA');
});

test('a model without limits gets safe ones, and an unsupported engine is reported', () => {
  const { limits, task } = cardOf('llava-med-old.yaml');
  expect(task).toBe('chat-completion');
  expect(limits).toMatchObject({ images_per_conversation: 1, context_tokens: 4_096, batch: true });
  expect(imported('llava-med-old.yaml').notes).toContainEqual({
    field: 'engine.supported',
    how: 'guessed',
    why: 'tags.inference_supported_envs names hf only; see whether vLLM serves this architecture',
  });
});

test('both generations in one file: system_metadata wins, other spellings are read, audio is not served', () => {
  const card = cardOf('mixed-generations.yaml');
  expect(card).toMatchObject({
    name: 'Example-Vision-chat',
    version: '11',
    publisher: 'Example Labs',
    license: 'Apache-2.0',
    task: 'chat-completion',
    modalities: { input: ['text', 'image'] },
    limits: { context_tokens: 65_536, max_output_tokens: 4_096, batch: true },
    hardware: { allowed_skus: ['Standard_NC24ads_A100_v4', 'Standard_NC40ads_H100_v5'], min_vcpus: 24 },
    engine: {
      weights: 'example-labs/Example-Vision-chat',
      revision: '0123456789abcdef0123456789abcdef01234567',
    },
  });
  expect(imported('mixed-generations.yaml').left).toContain('tags.author (somebody else)');
});

test.each([
  ['- a list', 'it is no spec file'],
  ['name: [1', 'line 1 is not YAML'],
  ['version: 2', 'it has no name'],
  ['name: 3 models', 'no card can be made from this file: name must begin with a letter'],
  [readFileSync(`${FOLDER}/embedder-new.yaml`, 'utf8'), 'its task is embeddings, and only chat-completion and'],
])('a file that is not the spec of a chat model is refused in a sentence: %#', (text, sentence) => {
  expect(() => importCard(text)).toThrow(sentence);
});

test('values in every known form', () => {
  expect([true, 'true', ' True ', '', null, 'yes', 1, '1'].map(asFlag)).not.toContain(false);
  expect([false, 'false', 'False ', 'no', 0].map(asFlag)).toEqual([false, false, false, false, false]);
  expect(['perhaps', [], {}, undefined].map(asFlag)).toEqual([undefined, undefined, undefined, undefined]);
  expect(asList('a, b ,a,,')).toEqual(['a', 'b']);
  expect(asList('[\'a\', "b"]')).toEqual(['a', 'b']);
  expect(asList([' a', 3])).toEqual(['a', '3']);
  expect([asList(''), asList([]), asList({})]).toEqual([undefined, undefined, undefined]);
  expect(['131,072', '131_072', 131_072, '131072.0', ' 131072 '].map(asCount)).toEqual(Array(5).fill(131_072));
  expect(['-1', 0, '1.5', 'many', null].map(asCount)).toEqual(Array(5).fill(undefined));
  expect(asSkuSpec(' 48 |2|440| 128')).toEqual({ vcpus: 48, gpus: 2, memoryGib: 440, diskGib: 128 });
  expect([asSkuSpec('48|2|440'), asSkuSpec('a|b|c|d'), asSkuSpec(48)]).toEqual([undefined, undefined, undefined]);
});
