import { z } from 'zod';
import type { JsonValue } from '../../request/chat.ts';
import { Failure } from '../../failure.ts';
import type { ShortValue } from '../../failure.ts';
import { addFault, faultIn } from './limited.ts';
import { HALF_CHARACTER, LIMITS, checkLimit, overLimit } from './limits.ts';

/** A value's schema, and its form in words for callers. */
export interface Field {
  readonly schema: z.ZodType<JsonValue>;
  readonly form: string;
}

/**
 * Checks one value of the caller's body. Do not pass texts of prompts or pictures as scalars: the message quotes a
 * short wrong value.
 * @param param path of the value in the caller's body, such as `input_data.parameters.top_p`
 * @throws Failure `invalid_request` that names the field, or the path inside it, and the required form
 */
export function readField(field: Field, value: unknown, param: string): JsonValue {
  const parsed = field.schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const fault = faultIn(issues);
  if (fault !== undefined) {
    const at = pathOf(param, fault.path);
    if ('limit' in fault) throw overLimit(fault.limit, fault.seen, at);
    throw new Failure('invalid_request', `${at} ${fault.problem}`, { param: at });
  }
  const [issue] = issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const at = pathOf(param, [...(issue?.path ?? []), ...unknown]);
  const where = unknown.length > 0 ? `; ${at} is no part of it` : at === param ? got(value) : `; the fault is at ${at}`;
  const input = at === param ? shortValue(value) : undefined;
  const options = { param: at, ...(input === undefined ? {} : { input }) };
  throw new Failure('invalid_request', `${param} must be ${field.form}${where}`, options);
}

/** A path inside a field as a caller would write it, cut if it is very deep. */
function pathOf(param: string, inside: readonly PropertyKey[]): string {
  return inside
    .slice(0, DEEPEST_NAMED)
    .reduce<string>(
      (path, key) => (typeof key === 'number' ? `${path}[${key}]` : `${path}.${shortName(String(key))}`),
      param,
    );
}

const DEEPEST_NAMED = 8;
const LONGEST_QUOTED = 32;

/** A scalar that may be quoted to its sender; undefined for anything longer. */
export function shortValue(value: unknown): ShortValue | undefined {
  if (typeof value === 'boolean' || (typeof value === 'number' && isExact(value))) return value;
  return typeof value === 'string' && value.length <= LONGEST_QUOTED ? value : undefined;
}

/** Whether JSON.parse kept a number as written, except digits after the point. */
function isExact(value: number): boolean {
  return Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value));
}

/** `, got 3`: quotes a short scalar; of anything else it names only the kind. */
export function got(value: unknown): string {
  if (value === undefined) return ', and is missing';
  if (typeof value === 'number' && !isExact(value)) return ', got one that is too large to be exact';
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `, got ${value}`;
  if (typeof value === 'string')
    return value.length <= LONGEST_QUOTED
      ? `, got ${JSON.stringify(value)}`
      : `, got a text of ${value.length} characters`;
  return Array.isArray(value) ? ', got a list' : ', got an object';
}

/** Names the kind of a value, and never quotes a text, because it may be a prompt. */
export function kind(value: unknown): string {
  return typeof value === 'string' && value !== '' ? ', got a text' : got(value);
}

/** An object in JSON's sense: neither a list nor null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Typed clients send every field of their class; null then means not set. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** Neither absent nor empty: clients that send all their fields use `''`, `[]`, `{}` and an object of nulls too. */
export function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.values(value).some((field) => !isAbsent(field));
  return !isAbsent(value) && value !== '';
}

/** Absent, or an empty value of a field that may be empty: some engines refuse it, and none uses it. */
export function isLeftOut({ schema }: Field, value: unknown): boolean {
  return isAbsent(value) || (!isSet(value) && schema.safeParse(value).success);
}

/** Marks a schema in the document of the API (`openapi/document.ts`): an empty value counts as absent. */
export const MAY_BE_EMPTY = { mayBeEmpty: true } as const;

/** A field for which an empty value counts as absent. */
export function orEmpty({ schema, form }: Field): Field {
  return { schema: z.preprocess((value) => (isSet(value) ? value : null), schema.nullable()).meta(MAY_BE_EMPTY), form };
}

/** A field whose members with these names count as absent if they are empty. */
export function withoutEmpty(names: readonly string[], { schema, form }: Field): Field {
  // Copied only if there is something to drop: a hostile object may have 100,000 members.
  const drop = (value: unknown): unknown => {
    if (!isObject(value)) return value;
    const empty = names.filter((name) => Object.hasOwn(value, name) && !isSet(value[name]));
    return empty.length === 0
      ? value
      : Object.fromEntries(Object.entries(value).filter(([name]) => !empty.includes(name)));
  };
  return { schema: z.preprocess(drop, schema), form };
}

const MAX_DEPTH = 64;

/** True for a result of JSON.parse without a `jsonProblem`. */
export function isJson(value: unknown): value is JsonValue {
  return jsonProblem(value) === undefined;
}

/**
 * @returns why a value cannot be passed on, if it cannot. Texts must be well formed. Nesting is limited to 64 levels,
 * so that no later recursion runs out of stack
 */
export function jsonProblem(value: unknown, depth = MAX_DEPTH): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? undefined : HALF_CHARACTER;
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'has a number that is too large';
  if (typeof value !== 'object') return 'is not valid JSON';
  if (depth === 0) return `is nested deeper than ${MAX_DEPTH} levels`;
  for (const item of Object.values(value)) {
    const problem = jsonProblem(item, depth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Values that the schema takes and that are JSON. */
export function strictJson(schema: z.ZodType): z.ZodType<JsonValue> {
  return schema.transform((value, context) => {
    if (isJson(value)) return value;
    addFault(context, { at: [], problem: jsonProblem(value) ?? 'is not valid JSON' });
    return z.NEVER;
  });
}

/**
 * The fields of a caller's object, counted before they are read.
 * @throws Failure `invalid_request` if there are more than any API has
 */
export function fieldsOf(value: Readonly<Record<string, unknown>>, at: string): [name: string, value: unknown][] {
  checkLimit(LIMITS.fields, Object.keys(value).length, at);
  return Object.entries(value);
}

/**
 * A caller's field name, cut short, safe for a message or a log line. Letters and digits of any script stay; characters
 * that could be read as part of the sentence are percent-encoded. `""` for an empty name.
 */
export function shortName(name: string): string {
  const short = name.slice(0, 64).toWellFormed();
  return short === '' ? '""' : short.replace(/[^\p{L}\p{M}\p{N}_.$[\]-]/gu, percentEncoded);
}

/** Percent-encodes UTF-8, as in a URL. */
function percentEncoded(text: string): string {
  return Buffer.from(text).toString('hex').toUpperCase().replace(/../g, '%$&');
}

/** Collects names of fields without effect, once each, up to a limit. */
export class IgnoredNames {
  readonly #names = new Set<string>();
  add(name: string): void {
    if (this.#names.size < 32) this.#names.add(shortName(name));
  }
  list(): readonly string[] {
    return [...this.#names];
  }
}
