import { LineCounter, parse, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ModelCard, parseCatalog } from '#contract/model-card';

/**
 * Checks the text of a card.
 * @returns one sentence for each problem; none if the card can be served
 */
export function problemsOfText(text: string): string[] {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length === 0) return problemsOf(document.toJS());
  return document.errors.map(({ pos, message }) => `Line ${lineCounter.linePos(pos[0]).line} is not YAML: ${message}.`);
}

/** The YAML of a text without problems. */
export function valueOf(text: string): unknown {
  return parse(text);
}

/** Checks a card as parsed YAML: the rules of the schema, and those between fields. */
export function problemsOf(value: unknown): string[] {
  const parsed = ModelCard.safeParse(value, { reportInput: true });
  if (!parsed.success) return parsed.error.issues.flatMap(sentencesOf);
  return [...contradictions(parsed.data)];
}

/**
 * Checks cards that are served together.
 * @param cards each without problems of its own
 */
export function problemsBetween(cards: readonly { readonly file: string; readonly value: unknown }[]): string[] {
  try {
    if (cards.length > 0) parseCatalog(cards);
    return [];
  } catch (error) {
    return [`${error instanceof Error ? error.message : String(error)}.`];
  }
}

function* contradictions({ limits, modalities, tokens, engine }: ModelCard): Generator<string> {
  const { context_tokens: context, max_output_tokens: most, default_output_tokens: usual } = limits;
  if (most > context) yield `limits.max_output_tokens (${most}) is larger than limits.context_tokens (${context}).`;
  if (usual > most) yield `limits.default_output_tokens (${usual}) is larger than limits.max_output_tokens (${most}).`;
  const images = modalities.input.includes('image');
  if (images && limits.images_per_conversation === 0)
    yield 'modalities.input has image, but limits.images_per_conversation allows none.';
  if (!images && limits.images_per_conversation > 0)
    yield 'limits.images_per_conversation allows images, but modalities.input has no image.';
  if (images && engine.max_in_flight.image === 0)
    yield 'modalities.input has image, but engine.max_in_flight.image allows no request with one.';
  const crops = engine.mm_processor_kwargs?.['num_crops'];
  if (tokens.image !== undefined && crops !== undefined && crops !== tokens.image.num_crops)
    yield `tokens.image.num_crops (${tokens.image.num_crops}) and engine.mm_processor_kwargs.num_crops (${JSON.stringify(crops)}) must be the same.`;
}

function sentencesOf(issue: z.core.$ZodIssue): string[] {
  const field = issue.path.length === 0 ? 'The card' : issue.path.map(String).join('.');
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => `${field} has the unknown field ${key}.`);
    case 'invalid_type':
      return [
        issue.input === undefined
          ? `${field} is missing.`
          : `${field} must be ${kindOf(issue.expected)}${got(issue.input)}.`,
      ];
    case 'invalid_value':
      return [
        issue.input === undefined
          ? `${field} is missing.`
          : `${field} must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}${got(issue.input)}.`,
      ];
    case 'too_small':
      return [
        `${field} must be ${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}${itemsOf(issue.origin)}${got(issue.input)}.`,
      ];
    case 'invalid_format':
      return [
        `${field} must begin with a letter and go on with letters, digits, dots, hyphens or underscores${got(issue.input)}.`,
      ];
    default:
      return [`${field}: ${issue.message}.`];
  }
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function kindOf(expected: string): string {
  return KINDS[expected] ?? expected;
}

function itemsOf(origin: string): string {
  if (origin === 'array') return ' item long';
  return origin === 'string' ? ' character long' : '';
}

function got(input: unknown): string {
  const text = JSON.stringify(input) ?? 'nothing';
  return `, and is ${text.length > 60 ? `${text.slice(0, 59)}…` : text}`;
}
