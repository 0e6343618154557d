import { z } from 'zod';
import { SERVICE_CLASSES } from '#contract/service-class';
import { USUAL_TIERS, type Caller } from './caller.ts';

const bound = z.number().int().positive();
/** Headers of limits hold no longer number. */
const limit = bound.max(1_000_000_000_000);

/** What a caller may do besides sending requests. `operate`: see what concerns all callers, in the console. */
const SCOPES = ['operate'] as const;

/** The fields that say what a caller may do: of a key in the key file, and of a role of an identity provider. */
export const RIGHTS = {
  /** names or aliases of cards; absent: every model */
  models: z.array(z.string().min(1)).min(1).optional(),
  /** paths, each including everything under it; absent: every route */
  routes: z
    .array(z.string().regex(/^\/\S*$/, 'must be a path such as /v1 or /score'))
    .min(1)
    .optional(),
  weight: z.number().min(0.001).max(1_000).default(1),
  caps: z.strictObject({ waiting_jobs: bound.optional(), waiting_bytes: bound.optional() }).default({}),
  /** of all replicas and models together */
  limits: z
    .strictObject({
      requests_per_minute: limit.optional(),
      tokens_per_minute: limit.optional(),
      tokens_per_day: limit.optional(),
    })
    .default({}),
  /** classes that requests may name in `service_tier` */
  tiers: z
    .array(z.enum(SERVICE_CLASSES))
    .min(1)
    .default([...USUAL_TIERS]),
  scopes: z.array(z.enum(SCOPES)).default([]),
};
const Rights = z.object(RIGHTS);
type Rights = Readonly<z.infer<typeof Rights>>;

/** A caller with these rights. */
export function callerWith(
  { models, routes, weight, caps, limits, tiers, scopes }: Rights,
  identity: Pick<Caller, 'id' | 'fingerprint'>,
): Caller {
  return {
    ...identity,
    weight,
    caps,
    limits,
    tiers,
    mayOperate: scopes.includes('operate'),
    mayCall: (path) => routes === undefined || routes.some((route) => isUnder(path, route)),
    mayUse: ({ name, aliases }) => models === undefined || [name, ...aliases].some((known) => models.includes(known)),
  };
}

function isUnder(path: string, route: string): boolean {
  const [asked, allowed] = [withoutLastSlashes(path), withoutLastSlashes(route)];
  return asked === allowed || asked.startsWith(`${allowed}/`);
}

/** Without a regular expression, which would take quadratic time on a long row of slashes. */
function withoutLastSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return path.slice(0, end);
}
