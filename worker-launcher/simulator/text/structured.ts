import { z } from 'zod';
import type { TokenSource } from './answer.ts';
import { badRequest, type ApiError } from '../http/errors.ts';
import { Dice, mix } from './hash.ts';
import { complaints } from '../http/pydantic.ts';
import { splitText } from './tokens.ts';

const Schema = z.record(z.string(), z.unknown());
type Schema = z.output<typeof Schema>;
const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']);
const DEPTH_LIMIT = 12;

/** The form that an answer must have: JSON of a schema, or one of several texts. */
export type Structure =
  | { readonly kind: 'schema'; readonly schema: Schema }
  | { readonly kind: 'choice'; readonly choices: readonly string[] };

/**
 * Reads `response_format`. @returns undefined for plain text
 * @throws ApiError 400 for an unknown type, a missing schema
 */
export function readResponseFormat(format: unknown): Structure | undefined {
  if (format === undefined || format === null) return undefined;
  const parsed = Schema.safeParse(format);
  const type = parsed.data?.['type'];
  if (type === 'text') return undefined;
  if (type === 'structural_tag') {
    if (parsed.data?.['format'] !== undefined || parsed.data?.['structures'] !== undefined) return undefined;
    throw badRequest('Invalid response_format structural_tag specification.', 'response_format');
  }
  if (type === 'json_object') return { kind: 'schema', schema: { type: 'object' } };
  if (type !== 'json_schema') {
    const path = ['response_format', 'type'];
    const expected = ["'text', 'json_object' or 'json_schema'", "'structural_tag'"];
    throw complaints(
      expected.map((list) => ({ type: 'literal_error', path, message: `Input should be ${list}`, input: type })),
    );
  }
  const wrapper = Schema.safeParse(parsed.data?.['json_schema']).data;
  if (wrapper === undefined) {
    throw badRequest(
      "When response_format type is 'json_schema', the 'json_schema' field must be provided.",
      'response_format',
    );
  }
  return { kind: 'schema', schema: Schema.safeParse(wrapper['schema']).data ?? {} };
}

const CONSTRAINTS = ['json', 'regex', 'choice', 'grammar', 'json_object', 'structural_tag'] as const;

/**
 * Reads vLLM's own `structured_outputs`. To a regex, a grammar or a structural tag the simulator answers in words.
 * @throws ApiError 400 unless it has exactly one constraint
 */
export function readStructuredOutputs(outputs: unknown): Structure | undefined {
  const given = Schema.safeParse(outputs).data;
  if (given === undefined) return undefined;
  const kinds = CONSTRAINTS.filter((name) => given[name] !== undefined && given[name] !== null);
  if (kinds.length > 1) {
    throw badRequest("You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').");
  }
  const choices = z.array(z.string()).safeParse(given['choice']).data;
  switch (kinds[0]) {
    case undefined:
      throw badRequest('You must use one kind of structured outputs constraint but none are specified: {}');
    case 'choice':
      return { kind: 'choice', choices: choices ?? [] };
    case 'json_object':
      return { kind: 'schema', schema: { type: 'object' } };
    case 'json':
      return { kind: 'schema', schema: Schema.safeParse(parsedJson(given['json'])).data ?? {} };
    default:
      return undefined;
  }
}

function parsedJson(schema: unknown): unknown {
  if (typeof schema !== 'string') return schema;
  try {
    return JSON.parse(schema);
  } catch {
    return undefined;
  }
}

/** @returns the error of an invalid schema, such as a type that JSON schema does not have */
export function schemaProblem(schema: Schema, depth: number): ApiError | undefined {
  const { type } = schema;
  if (typeof type === 'string' && !TYPES.has(type)) return badRequest(`Grammar error: Invalid type: ${type}`);
  if (depth > DEPTH_LIMIT) return undefined;
  for (const child of [...Object.values(Schema.safeParse(schema['properties']).data ?? {}), schema['items']]) {
    const inner = Schema.safeParse(child).data;
    const problem = inner === undefined ? undefined : schemaProblem(inner, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** A text of the structure. The same seed gives the same text. */
export function textFor(structure: Structure, seed: number): string {
  if (structure.kind === 'schema') return jsonFor(structure.schema, seed);
  return structure.choices[new Dice(mix(seed, 5)).roll(Math.max(structure.choices.length, 1))] ?? '';
}

/** A JSON text that fits the schema. Knows types, properties, items, enums and bounds. */
function jsonFor(schema: Schema, seed: number): string {
  return JSON.stringify(valueFor(schema, new Dice(mix(seed, 3)), 0));
}

function valueFor(schema: Schema, dice: Dice, depth: number): unknown {
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum']) && schema['enum'].length > 0)
    return schema['enum'][dice.roll(schema['enum'].length)];
  const options = [schema['anyOf'], schema['oneOf'], schema['allOf']].find(Array.isArray);
  if (options !== undefined) return valueFor(Schema.safeParse(options[0]).data ?? {}, dice, depth + 1);
  const type: unknown = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  switch (type) {
    case 'integer':
    case 'number': {
      const least = typeof schema['minimum'] === 'number' ? Math.ceil(schema['minimum']) : 0;
      const most = typeof schema['maximum'] === 'number' ? Math.floor(schema['maximum']) : least + 9;
      return least + dice.roll(Math.max(most - least + 1, 1));
    }
    case 'boolean':
      return dice.roll(2) === 1;
    case 'null':
      return null;
    case 'array':
      return depth > DEPTH_LIMIT ? [] : [valueFor(Schema.safeParse(schema['items']).data ?? {}, dice, depth + 1)];
    case 'object': {
      const properties = Schema.safeParse(schema['properties']).data ?? { answer: { type: 'string' } };
      if (depth > DEPTH_LIMIT) return {};
      return Object.fromEntries(
        Object.entries(properties).map(([name, inner]) => [
          name,
          valueFor(Schema.safeParse(inner).data ?? {}, dice, depth + 1),
        ]),
      );
    }
    default:
      return ['quiet', 'narrow', 'bright', 'plain'][dice.roll(4)];
  }
}

/** The tokens of a known text. Only blanks follow its end. */
export function recite(text: string): TokenSource {
  const pieces = splitText(text);
  let at = 0;
  return {
    next(pastEnd) {
      const piece = pieces[at] ?? (pastEnd ? ' ' : undefined);
      at += 1;
      return piece;
    },
  };
}
