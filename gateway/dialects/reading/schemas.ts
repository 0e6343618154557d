import { z } from 'zod';
import type { ApiFacts } from '../description.ts';
import { orEmpty, type Field } from './fields.ts';
import type { Column } from './request-fields.ts';

/** Schemas for the API's document. Every optional field may also be null, because typed clients send null. */

export const TEXT = z.string().min(1);

/** A model name that is read only if nothing else has chosen the model. */
export function unreadModel({ names }: ApiFacts): Record<string, z.ZodType> {
  return {
    model: TEXT.nullish().describe(`ignored if a deployment is chosen; otherwise one of ${names.join(', ')}`),
  };
}

/** @param limits names for the answer's length; the first that is present counts */
export function envelope(facts: ApiFacts, limits: readonly string[]): Record<string, z.ZodType> {
  const stream = z.union([z.boolean(), z.enum(['true', 'false', 'True', 'False'])]);
  const model = modelName(facts);
  return {
    model: facts.cards.length === 1 ? model.nullish() : model,
    stream: stream.nullish(),
    stream_options: z
      .looseObject({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
      .nullish()
      .describe('only if stream is true; continuous_usage_stats only with include_usage'),
    n: z.int().min(1).max(facts.mostChoices).nullish(),
    ...lengths(facts, limits),
  };
}

/** Only the name that counts must respect the card's limit; a larger value after it does no harm. */
export function lengths(facts: ApiFacts, names: readonly string[]): Record<string, z.ZodType> {
  const most = facts.mostTokens === undefined ? '' : `, up to ${facts.mostTokens}`;
  return Object.fromEntries(
    names.map((name, index) => [
      name,
      index === 0
        ? tokens(facts).nullish()
        : z
            .int()
            .min(1)
            .nullish()
            .describe(`counts if ${names.slice(0, index).join(', ')} is absent${most}`),
    ]),
  );
}

function modelName({ names, takesAnyName }: Pick<ApiFacts, 'names' | 'takesAnyName'>): z.ZodType<string> {
  return takesAnyName || names.length === 0 ? TEXT : z.enum(names);
}

export function tokens({ mostTokens }: ApiFacts): z.ZodType {
  const least = z.int().min(1);
  return mostTokens === undefined ? least : least.max(mostTokens);
}

/** The fields that a route reads by the table of fields; a refusal names those that it refuses. */
export function known(column: Column): Record<string, z.ZodType> {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, verdict] of column) {
    if (verdict.kind === 'ignored') shape[name] = withoutEffect(verdict.why);
    else if (verdict.kind === 'fixed') shape[name] = nullish(orEmpty(verdict.field), `: ${verdict.why}`);
    else if (verdict.kind !== 'refused' && verdict.field !== undefined) shape[name] = nullish(verdict.field);
  }
  return shape;
}

export function withoutEffect(why: string): z.ZodType {
  return z.unknown().optional().describe(`without effect on the answer: ${why}`);
}

export function optional(fields: Readonly<Record<string, Field>>): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, nullish(field)]));
}

function nullish({ schema, form }: Field, why = ''): z.ZodType {
  return schema.nullish().describe(form + why);
}

export function only(shape: Record<string, z.ZodType>, names: Column): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(shape).filter(([name]) => names.has(name)));
}
