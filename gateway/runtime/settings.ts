import { z } from 'zod';

/** Both bounds are inclusive. */
const whole = (what: string, { least = 1, most = Number.MAX_SAFE_INTEGER } = {}): z.ZodCoercedNumber => {
  const error = `takes ${what}`;
  return z.coerce.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};

const SHARE = 'takes a number above 0 and up to 1';

const ADDRESSES = 'takes addresses such as node-1:6379,node-2:6379';

/** Reusable pieces of settings schemas. Every value arrives as text. Each message says what the setting takes. */
export const setting = {
  milliseconds: whole('a whole number of milliseconds, 1 or more'),
  count: whole('a whole number, 1 or more'),
  countOrNone: whole('a whole number, 0 or more', { least: 0 }),
  /** @param most inclusive */
  countUpTo: (most: number) => whole(`a whole number from 1 to ${most}`, { most }),
  bytes: whole('a whole number of bytes, 1 or more'),
  port: whole('a port from 1 to 65535', { most: 65_535 }),
  share: z.coerce.number({ error: SHARE }).gt(0, { error: SHARE }).lte(1, { error: SHARE }),
  redisUrl: z.url({ protocol: /^rediss?$/, error: 'takes a URL such as redis://127.0.0.1:6379/0' }),
  /** up to 32 addresses, as `redis-target.ts` reads them */
  places: z
    .string()
    .regex(/^( *(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[1-9]\d{0,4} *(,(?=.)|$)){1,32}$/, ADDRESSES)
    .refine((text) => text.split(',').every((place) => URL.canParse(`redis://${place.trim()}`)), ADDRESSES),
  flag: z.stringbool({ error: 'takes true or false' }),
  /** first part of every key in Redis; it must not end a hash tag, split a key or act as a pattern */
  keyPrefix: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'takes up to 64 letters, digits, dots, dashes and underscores'),
  /** JSON of the given shape */
  json: <Shape extends z.ZodType>(shape: Shape) =>
    z
      .string()
      .transform((text, context): unknown => {
        try {
          return JSON.parse(text);
        } catch {
          context.addIssue({ code: 'custom', message: 'takes JSON, and this is invalid JSON' });
          return z.NEVER;
        }
      })
      .pipe(shape),
  /** comma-separated; empty: no entries */
  list: z.string().transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  ),
} as const;

/**
 * Reads the settings that begin with `prefix`, once, at start. An empty value counts as absent. Names that Kubernetes
 * injects for Services (`GATEWAY_PORT=tcp://…`, `GATEWAY_SERVICE_HOST`) are ignored.
 * @throws Error that names every bad or unknown variable
 */
export function loadSettings<Shape extends z.ZodRawShape>(
  prefix: string,
  schema: z.ZodObject<Shape>,
  env: NodeJS.ProcessEnv,
): Readonly<z.infer<z.ZodObject<Shape>>> {
  const ours = Object.fromEntries(
    Object.entries(env).filter(
      ([name, value]) => name.startsWith(prefix) && value !== '' && !injectedByKubernetes(name, value ?? ''),
    ),
  );
  const parsed = schema.safeParse(ours, { error: whatItTakes });
  const problems = (parsed.error?.issues ?? []).map(({ path, message }) => problemOf(path.map(String), message, ours));
  for (const name of Object.keys(ours)) if (!(name in schema.shape)) problems.push(`${name}: unknown setting`);
  if (!parsed.success || problems.length > 0) throw new Error(['bad configuration', ...problems].join('\n  '));
  return Object.freeze(parsed.data);
}

/** Replaces zod's messages, which name TypeScript types. A schema's own message wins. */
const whatItTakes: z.core.$ZodErrorMap = (issue) => {
  if (issue.code === 'invalid_value') return `takes one of ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'unrecognized_keys') return `knows no ${issue.keys.join(', ')}`;
  if (issue.code !== 'invalid_type') return undefined;
  const expected = issue.expected === 'record' ? 'object' : issue.expected;
  return `takes ${/^[aio]/.test(expected) ? 'an' : 'a'} ${expected}`;
};

/** Only such values are repeated in a message; all others could be secrets. */
const SHOWN = /^[\w.+-]{1,40}$/;
const SECRET = /URL|PASSWORD|SECRET|KEY|HEADERS|ENDPOINT/;

function problemOf([name = '', ...inside]: readonly string[], message: string, ours: Record<string, unknown>): string {
  const value = ours[name];
  if (value === undefined) return `${name}: missing; it ${message}`;
  if (inside.length > 0) return `${name}: ${inside.join('.')} ${message}`;
  const shown = typeof value === 'string' && message.startsWith('takes') && SHOWN.test(value) && !SECRET.test(name);
  return `${name}: ${message}${shown ? `, not '${value}'` : ''}`;
}

function injectedByKubernetes(name: string, value: string): boolean {
  return (
    (/_PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value)) ||
    /_SERVICE_(HOST|PORT(_.+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)_(ADDR|PORT|PROTO)$/.test(name)
  );
}
