import { z } from 'zod';
import { malformed, type ApiError } from './errors.ts';

/*
 * vLLM reads bodies with pydantic in its lax mode: "5" is a number, "yes" a boolean, null means absent. These schemas
 * accept the same and name their complaints as pydantic does, so that the simulator can print them in pydantic's words.
 */

type Complaint = readonly [type: string, message: string];
const MORE_THAN_SHOWN = 10;

function lax<T>(read: (value: unknown) => T | Complaint, isComplaint: (result: T | Complaint) => result is Complaint) {
  return z.unknown().transform((value, context): T => {
    const result = read(value);
    if (!isComplaint(result)) return result;
    context.issues.push({ code: 'custom', message: result[1], input: value, params: { type: result[0] } });
    return z.NEVER;
  });
}

const isPair = <T extends number | boolean | string>(result: T | Complaint): result is Complaint =>
  Array.isArray(result);

const int = lax<number>((value) => {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'string') {
    return /^\s*[-+]?\d+(\.0+)?\s*$/.test(value)
      ? Number(value)
      : ['int_parsing', 'Input should be a valid integer, unable to parse string as an integer'];
  }
  if (typeof value !== 'number') return ['int_type', 'Input should be a valid integer'];
  return Number.isInteger(value)
    ? value
    : ['int_from_float', 'Input should be a valid integer, got a number with a fractional part'];
}, isPair);

/** The first seed that vLLM refuses. JavaScript rounds JSON numbers of this size, so 2 ** 63 - 1 is refused too. */
const LONGEST = 2 ** 63;
const isLong = (value: unknown): boolean =>
  typeof value === 'string' && /^-?\d+$/.test(value)
    ? BigInt.asIntN(64, BigInt(value)) === BigInt(value)
    : !(Math.abs(Number(value)) >= LONGEST);
const long = z
  .unknown()
  .refine(isLong, {
    params: { type: 'less_than_equal' },
    error: 'Input should be less than or equal to 9223372036854775807',
  })
  .pipe(int);

const float = lax<number>((value) => {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'string') return ['float_type', 'Input should be a valid number'];
  return value.trim() !== '' && !Number.isNaN(Number(value))
    ? Number(value)
    : ['float_parsing', 'Input should be a valid number, unable to parse string as a number'];
}, isPair);

const bool = lax<boolean>((value) => {
  if (typeof value === 'boolean') return value;
  if (value === 0 || value === 1) return value === 1;
  if (typeof value !== 'string') return ['bool_type', 'Input should be a valid boolean'];
  const text = value.toLowerCase();
  if (['1', 'true', 't', 'yes', 'y', 'on'].includes(text)) return true;
  if (['0', 'false', 'f', 'no', 'n', 'off'].includes(text)) return false;
  return ['bool_parsing', 'Input should be a valid boolean, unable to interpret input'];
}, isPair);

const text = lax<string>(
  (value) => (typeof value === 'string' ? value : ['string_type', 'Input should be a valid string']),
  isPair,
);

/** A string, or a list of them; always given as a list. */
const texts = z.unknown().transform((value, context): string[] => {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  const complain = (type: string, message: string): void => {
    context.issues.push({ code: 'custom', message, input: value, params: { type } });
  };
  complain('string_type', 'Input should be a valid string');
  complain('list_type', 'Input should be a valid list');
  return z.NEVER;
});

const optional = <T extends z.ZodType>(schema: T) => z.preprocess((value) => value ?? undefined, schema.optional());

/** Optional fields: absent and null are the same. */
export const field = {
  int: optional(int),
  long: optional(long),
  float: optional(float),
  bool: optional(bool),
  text: optional(text),
  texts: optional(texts),
  ints: optional(z.array(int)),
  object: optional(z.record(z.string(), z.unknown())),
  anything: z.unknown().optional(),
} as const;

/**
 * Reads a parsed JSON body. Unknown fields are dropped without complaint (as vLLM does).
 * @throws ApiError 400 of type `Bad Request`, in pydantic's words, naming the first bad field in `param`
 */
export function parseBody<T extends z.ZodObject>(schema: T, body: unknown): z.output<T> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw complaints([
      {
        type: 'model_attributes_type',
        path: [],
        message: 'Input should be a valid dictionary or object to extract fields from',
        input: body,
      },
    ]);
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw complaints(
    parsed.error.issues.map((issue) => {
      const input = valueAt(body, issue.path);
      if (input === undefined) {
        return {
          type: 'missing',
          path: issue.path,
          message: 'Field required',
          input: valueAt(body, issue.path.slice(0, -1)),
        };
      }
      return { type: typeOf(issue), path: issue.path, message: messageOf(issue), input };
    }),
  );
}

export interface BodyProblem {
  readonly type: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly input: unknown;
  /** printed as pydantic prints its `ctx`, key and value already in Python's notation */
  readonly context?: string;
}

/** The error that vLLM makes of pydantic's complaints; it shows the first ten. */
export function complaints(problems: readonly BodyProblem[]): ApiError {
  const lines = problems.slice(0, MORE_THAN_SHOWN).map((problem) => {
    const context = problem.context === undefined ? '' : `, 'ctx': {${problem.context}}`;
    return `  {'type': '${problem.type}', 'loc': '${location(problem)}', 'msg': ${quote(problem.message)}, 'input': ${shown(problem.input)}${context}}`;
  });
  if (problems.length > MORE_THAN_SHOWN) lines.push(`  ...and ${problems.length - MORE_THAN_SHOWN} more errors`);
  const head = problems.length === 1 ? '1 validation error:' : `${problems.length} validation errors:`;
  const first = problems[0];
  return malformed([head, ...lines].join('\n'), first === undefined ? null : location(first));
}

function location(problem: BodyProblem): string {
  return ['body', ...problem.path].map(String).join('.');
}

function typeOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'custom') return String(issue.params?.['type'] ?? 'value_error');
  if (issue.code === 'invalid_type') {
    return { array: 'list_type', object: 'dict_type', record: 'dict_type' }[String(issue.expected)] ?? 'value_error';
  }
  return 'value_error';
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type') return issue.message;
  return issue.expected === 'array' ? 'Input should be a valid list' : 'Input should be a valid dictionary';
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

function shown(input: unknown): string {
  if (input === undefined || input === null) return "'None'";
  if (Array.isArray(input)) return `'<list of ${input.length} items>'`;
  if (typeof input === 'object') return `'<dict of ${Object.keys(input).length} items>'`;
  if (typeof input === 'boolean') return input ? "'True'" : "'False'";
  return quote(typeof input === 'string' ? input : JSON.stringify(input));
}

/** A string as Python's repr() prints it. */
function quote(value: string): string {
  return value.includes("'") && !value.includes('"') ? `"${value}"` : `'${value.replaceAll("'", "\\'")}'`;
}
