import { z } from 'zod';
import { openKeyDocument } from '../keys/key-file.ts';
import { RIGHTS } from '../keys/rights.ts';

/** Signatures by a private key: with a shared one (`HS256`), the public key of the issuer could forge a token. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;
/** Stands for each tenant in the URL of an issuer, as in Entra ID's own documents. */
const TENANT = '{tenantid}';
const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/;

const name = z.string().min(1).max(500);
const names = z.array(name).min(1).max(1_000);
/** One claim, or the names on the way to it, such as `[realm_access, roles]`. */
const claim = z.union([name.transform((one) => [one]), names.max(8)]);
const url = z
  .string()
  .max(2_048)
  .refine(isTrustedUrl, 'must be an https URL without a user name, a query or a fragment; http only on loopback');

/** What its bearer may do: the rights of a key. Exactly one field says whom it is for. */
const Allowed = z
  .strictObject({
    role: name.optional(),
    group: name.optional(),
    scope: name.optional(),
    /** each valid token */
    any: z.literal(true).optional(),
    ...RIGHTS,
  })
  .refine(
    ({ role, group, scope, any }) => [role, group, scope, any].filter((one) => one !== undefined).length === 1,
    'needs exactly one of role, group, scope and any',
  );
export type Allowed = Readonly<z.infer<typeof Allowed>>;

const Provider = z.strictObject({
  /** first part of its callers' ids */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be 1 to 32 letters, digits, hyphens or underscores'),
  /** the claim `iss`; Entra ID has two for a tenant: of tokens of version 1 and of version 2 */
  issuers: z.array(url).min(1).max(8),
  /** the claim `aud`: one of these */
  audiences: names,
  tenants: names.max(100).optional(),
  /** where the public keys are; absent: where the issuer's `/.well-known/openid-configuration` says */
  jwks_url: url.optional(),
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).default(['RS256']),
  clock_skew_seconds: z.number().int().min(0).max(600).default(60),
  claims: z
    .strictObject({
      id: claim.default(['sub']),
      tenant: claim.default(['tid']),
      role: claim.default(['roles']),
      group: claim.default(['groups']),
      scope: claim.default(['scp']),
    })
    .prefault({}),
  /** the first one that a token has counts */
  allow: z.array(Allowed).min(1).max(1_000),
});
type Provider = Readonly<z.infer<typeof Provider>>;

const ProviderFile = z.strictObject({ providers: z.array(Provider).min(1).max(16) });

/** One issuer of a provider, and the only tenant whose tokens it signs, if its URL names one. */
export interface Issuer {
  readonly url: string;
  readonly jwksUrl: string | undefined;
  readonly provider: Provider;
  /** absent: each tenant that the provider lists */
  readonly tenant: string | undefined;
}

/** Http would let everyone on the way replace the keys. */
function isTrustedUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, search, hash } = new URL(text);
  return (
    (protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))) &&
    `${username}${password}${search}${hash}` === ''
  );
}

/** Whether keys may be read from a URL that the document of an issuer names. */
export function isTrustedKeyUrl(text: string): boolean {
  return url.safeParse(text).success;
}

/**
 * Parses a file of identity providers.
 * @returns all issuers
 * @throws Error that names every bad field, a name given twice, or an issuer of two providers
 */
export function parseProviderFile(text: string): Issuer[] {
  const parsed = ProviderFile.safeParse(openKeyDocument(text).toJS());
  if (!parsed.success)
    throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`.trim()).join('; '));
  const { providers } = parsed.data;
  const twice = (all: readonly string[]): string | undefined => all.find((one, at) => all.indexOf(one) !== at);
  const sameName = twice(providers.map((one) => one.name));
  if (sameName !== undefined) throw new Error(`the name ${sameName} is given twice`);
  const issuers = providers.flatMap(issuersOf);
  const sameUrl = twice(issuers.map((one) => one.url));
  if (sameUrl !== undefined) throw new Error(`the issuer ${sameUrl} is given twice`);
  return issuers;
}

function issuersOf(provider: Provider): Issuer[] {
  const { issuers, jwks_url: jwksUrl, tenants } = provider;
  return issuers.flatMap((text): Issuer[] => {
    if (![text, jwksUrl].some((one) => one?.includes(TENANT)))
      return [{ url: text, jwksUrl, provider, tenant: undefined }];
    if (tenants === undefined) throw new Error(`${provider.name} has ${TENANT} in a URL, and no tenants`);
    return tenants.map((tenant) => {
      const filled = (one: string): string => one.replaceAll(TENANT, encodeURIComponent(tenant));
      return { url: filled(text), jwksUrl: jwksUrl && filled(jwksUrl), provider, tenant };
    });
  });
}
