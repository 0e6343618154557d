import { z } from 'zod';
import type { Field } from './fields.ts';
import { orEmpty, strictJson, withoutEmpty } from './fields.ts';
import { schemaFault, schemaTextFault } from './json-schema.ts';
import { checked, freeObject, listOf, objectOf, textOf } from './limited.ts';
import { LIMITS } from './limits.ts';
import { grammarFault, Quantifiers, type Fault } from './pattern.ts';

/**
 * Fields in which a caller gives the form of the answer. They are strict objects, because an engine would drop unknown
 * members and answer in another form. Their limits let an engine compile them in a few seconds.
 */

const flag = z.boolean().nullish();
const words = textOf(LIMITS.description, 0).nullish();

/** A JSON schema as an object, within its limits. */
const JSON_SCHEMA = checked(freeObject(), schemaFault);
const NAMED_SCHEMA = { name: textOf(LIMITS.name), description: words, strict: flag };
const PLAIN = z.strictObject({ type: z.enum(['text', 'json_object']) });

const FORMAT: Field = {
  schema: strictJson(
    objectOf(
      z.discriminatedUnion('type', [
        PLAIN,
        z.strictObject({
          type: z.literal('json_schema'),
          json_schema: objectOf(z.strictObject({ ...NAMED_SCHEMA, schema: JSON_SCHEMA.nullish() })),
        }),
        checked(
          z.strictObject({
            type: z.literal('structural_tag'),
            format: z.unknown().optional(),
            structures: z.unknown().optional(),
            triggers: z.unknown().optional(),
          }),
          schemaFault,
        ),
      ]),
    ),
  ),
  form: 'an object whose type is text, json_object or json_schema, the last with a named json_schema',
};
/** Typed clients send an empty `json_schema` beside every type. */
export const RESPONSE_FORMAT: Field = withoutEmpty(['json_schema'], orEmpty(FORMAT));

/** `text.format` of the Responses API. */
export const TEXT_FORMAT = z.discriminatedUnion('type', [
  PLAIN,
  z.strictObject({ type: z.literal('json_schema'), ...NAMED_SCHEMA, schema: JSON_SCHEMA }),
]);

const REGEX = checked(textOf(LIMITS.regex, 0), (regex) => new Quantifiers().faultOf(regex, []));
const SCHEMA_TEXT = checked(textOf(LIMITS.schemaTexts, 0), schemaTextFault);
const CONSTRAINTS = {
  json: z.union([JSON_SCHEMA, SCHEMA_TEXT]).nullish(),
  regex: REGEX.nullish(),
  choice: checked(listOf(LIMITS.choices, textOf(LIMITS.schemaTexts, 0), 1), textsFault).nullish(),
  grammar: checked(textOf(LIMITS.grammar, 0), grammarFault).nullish(),
  json_object: z.literal(true).nullish(),
  structural_tag: SCHEMA_TEXT.nullish(),
};

/** vLLM's field for the same, with vLLM's names. */
export const STRUCTURED_OUTPUTS: Field = {
  schema: strictJson(
    objectOf(
      checked(
        z.strictObject({
          ...CONSTRAINTS,
          disable_any_whitespace: flag,
          disable_additional_properties: flag,
          whitespace_pattern: REGEX.nullish(),
        }),
        onlyOne,
      ),
    ),
  ),
  form: 'an object such as {"json": …}, {"regex": …} or {"choice": […]}',
};

function onlyOne(value: Readonly<Record<string, unknown>>): Fault | undefined {
  const names = Object.keys(CONSTRAINTS);
  const given = names.filter((name) => value[name] !== undefined && value[name] !== null);
  if (given.length === 1) return undefined;
  return { at: [], problem: `must have exactly one of ${names.join(', ')}; it has ${given.length}` };
}

function textsFault(texts: readonly string[]): Fault | undefined {
  const seen = texts.reduce((sum, text) => sum + text.length, 0);
  return seen > LIMITS.schemaTexts.most ? { at: [], limit: LIMITS.schemaTexts, seen } : undefined;
}
