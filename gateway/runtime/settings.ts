import { z } from 'zod';

/** Reusable pieces of settings schemas; every value arrives as text. */
export const setting = {
  milliseconds: z.coerce.number().int().positive(),
  count: z.coerce.number().int().positive(),
  bytes: z.coerce.number().int().positive(),
  port: z.coerce.number().int().min(1).max(65_535),
  redisUrl: z.url({ protocol: /^rediss?$/ }),
  flag: z.stringbool(),
  /** first part of every key in Redis; not what would end a hash tag, part a key or match others */
  keyPrefix: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'takes up to 64 letters, digits, dots, dashes and underscores'),
  /** JSON of that shape */
  json: <Shape extends z.ZodType>(shape: Shape) =>
    z
      .string()
      .transform((text, context): unknown => {
        try {
          return JSON.parse(text);
        } catch {
          context.addIssue({ code: 'custom', message: 'is not JSON' });
          return z.NEVER;
        }
      })
      .pipe(shape),
  /** comma-separated; empty means none */
  list: z.string().transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  ),
} as const;

/**
 * Reads the settings that begin with `prefix`, once, at start. An empty value counts as absent.
 * Names in the form that Kubernetes injects for Services (`GATEWAY_PORT=tcp://…`, `GATEWAY_SERVICE_HOST`) are passed over.
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
  const parsed = schema.safeParse(ours);
  const problems = (parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  for (const name of Object.keys(ours)) if (!(name in schema.shape)) problems.push(`${name}: unknown setting`);
  if (!parsed.success || problems.length > 0) throw new Error(['bad configuration', ...problems].join('\n  '));
  return Object.freeze(parsed.data);
}

function injectedByKubernetes(name: string, value: string): boolean {
  return (
    (/_PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value)) ||
    /_SERVICE_(HOST|PORT(_.+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)_(ADDR|PORT|PROTO)$/.test(name)
  );
}
