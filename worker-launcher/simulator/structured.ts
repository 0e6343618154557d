import { z } from 'zod';
import type { TokenSource } from './answer.ts';
import { badRequest } from './errors.ts';
import { Dice, mix } from './hash.ts';
import { complaints } from './pydantic.ts';
import { splitText } from './tokens.ts';

const Schema = z.record(z.string(), z.unknown());
type Schema = z.output<typeof Schema>;
const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']);
const DEPTH_LIMIT = 12;

/**
 * Reads `response_format`. @returns the schema to fill, or undefined for plain text
 * @throws ApiError 400 for an unknown type, a missing schema, a schema that no grammar can be made of
 */
export function readResponseFormat(format: unknown): Schema | undefined {
  if (format === undefined || format === null) return undefined;
  const parsed = Schema.safeParse(format);
  const type = parsed.data?.['type'];
  if (type === 'text' || type === 'structural_tag') return undefined;
  if (type === 'json_object') return { type: 'object' };
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
  const schema = Schema.safeParse(wrapper['schema']).data ?? {};
  checkSchema(schema, 0);
  return schema;
}

/** @throws ApiError 400 for a type that JSON schema does not have */
export function checkSchema(schema: Schema, depth: number): void {
  const { type } = schema;
  if (typeof type === 'string' && !TYPES.has(type)) throw badRequest(`Grammar error: Invalid type: ${type}`);
  if (depth > DEPTH_LIMIT) return;
  for (const child of [...Object.values(Schema.safeParse(schema['properties']).data ?? {}), schema['items']]) {
    const inner = Schema.safeParse(child).data;
    if (inner !== undefined) checkSchema(inner, depth + 1);
  }
}

/** A JSON text that fits the schema, the same for the same seed. Knows types, properties, items, enums and bounds. */
export function jsonFor(schema: Schema, seed: number): string {
  return JSON.stringify(valueFor(schema, new Dice(mix(seed, 3)), 0));
}

function valueFor(schema: Schema, dice: Dice, depth: number): unknown {
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum']) && schema['enum'].length > 0)
    return schema['enum'][dice.roll(schema['enum'].length)];
  const options = [schema['anyOf'], schema['oneOf'], schema['allOf']].find(Array.isArray);
  if (options !== undefined) return valueFor(Schema.safeParse(options[0]).data ?? {}, dice, depth + 1);
  const type = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
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

/** A text that is known beforehand, given out as tokens. Beyond its end only blanks are possible. */
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
