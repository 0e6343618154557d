import { z } from 'zod';
import { HALF_CHARACTER, LIMITS, type Limit } from './limits.ts';
import type { Fault } from './pattern.ts';

/**
 * A schema whose value is counted first. `.max()` alone would check each of a million entries before it counted them.
 */
function capped<Schema extends z.ZodType>(
  limit: Limit,
  schema: Schema,
  count: (value: unknown) => number,
  read = (value: unknown): unknown => value,
): z.ZodPreprocess<Schema> {
  return z.preprocess((value, context) => {
    const seen = count(value);
    if (seen <= limit.most) return read(value);
    addFault(context, { at: [], limit, seen });
    return z.NEVER;
  }, schema);
}

/** An object with a limit of fields. Null counts as absent. */
export function objectOf<Schema extends z.ZodType>(
  schema: Schema,
  limit: Limit = LIMITS.fields,
): z.ZodPreprocess<Schema> {
  return capped(
    limit,
    schema,
    (value) => membersOf(value)?.length ?? 0,
    (value) => {
      const members = membersOf(value);
      return members === undefined ? value : Object.fromEntries(members.filter(([, member]) => member !== null));
    },
  );
}

/** An object of the caller's own design, in which null has a meaning, as in a JSON schema. */
export function freeObject(): z.ZodPreprocess<z.ZodObject<z.core.$ZodLooseShape, z.core.$loose>> {
  return capped(LIMITS.fields, z.looseObject({}), (value) => membersOf(value)?.length ?? 0);
}

function membersOf(value: unknown): [name: string, member: unknown][] | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
}

/** A list with a limit, which the document of the API also shows. */
export function listOf<Item extends z.ZodType>(limit: Limit, item: Item, least = 0): z.ZodPreprocess<z.ZodArray<Item>> {
  const list = z.array(item).max(limit.most);
  return capped(limit, least === 0 ? list : list.min(least), (value) => (Array.isArray(value) ? value.length : 0));
}

/** A text with a limit and without half characters. */
export function textOf(limit: Limit, least = 1): z.ZodPreprocess<z.ZodString> {
  const text = z.string().max(limit.most);
  const whole = wellFormed(least === 0 ? text : text.min(least));
  return capped(limit, whole, (value) => (typeof value === 'string' ? value.length : 0));
}

/** The text's schema, which refuses half characters. */
export function wellFormed(text: z.ZodString): z.ZodString {
  return checked(text, (value) => (value.isWellFormed() ? undefined : { at: [], problem: HALF_CHARACTER }));
}

/** The schema, followed by a check: `find` returns the fault of a value that the schema took. */
export function checked<Schema extends z.ZodType>(
  schema: Schema,
  find: (value: z.output<Schema>) => Fault | undefined,
): Schema {
  return schema.superRefine((value, context) => {
    const fault = find(value);
    if (fault !== undefined) addFault(context, fault);
  });
}

const Told = z.object({
  fault: z.union([
    z.object({ limit: z.object({ most: z.number(), of: z.string(), unit: z.string() }), seen: z.number() }),
    z.object({ problem: z.string() }),
  ]),
});

/** The first fault that the functions above found among a schema's issues; in a union it may be nested. */
export function faultIn(issues: readonly z.core.$ZodIssue[], at: readonly PropertyKey[] = []): FoundFault | undefined {
  for (const issue of issues) {
    const path = [...at, ...issue.path];
    if (issue.code === 'invalid_union') {
      const inside = faultIn(issue.errors.flat(), path);
      if (inside !== undefined) return inside;
    }
    const told = issue.code === 'custom' ? Told.safeParse(issue.params) : undefined;
    if (told?.success === true) return { path, ...told.data.fault };
  }
  return undefined;
}
type FoundFault = { readonly path: readonly PropertyKey[] } & (
  { readonly limit: Limit; readonly seen: number } | { readonly problem: string }
);

/** Reports a fault in words for the caller; an issue of zod would only give the form. */
export function addFault(context: z.core.$RefinementCtx, fault: Fault): void {
  context.addIssue({ code: 'custom', path: [...fault.at], params: { fault } });
}
