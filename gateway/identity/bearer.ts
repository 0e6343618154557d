import { createHash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { Failure } from '../failure.ts';
import type { Caller } from '../keys/caller.ts';
import { callerWith } from '../keys/rights.ts';
import type { Allowed, Issuer } from './provider-file.ts';

/** Limit of the claim that is a caller's id, in characters. OpenID Connect allows 255 for `sub`. */
const LONGEST_ID = 255;
/** What goes into Redis keys, logs and labels as it is. */
const PLAIN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Who bears a valid token: a caller with rights, or a person or program that the providers' file allows nothing. */
export type Bearer =
  | { readonly isAllowed: true; readonly caller: Caller }
  | { readonly isAllowed: false; readonly id: string; readonly message: string };

/**
 * What the claims of a verified token mean.
 * @throws Failure `unauthorized` if they name no caller, or another tenant
 */
export function bearerOf(claims: JWTPayload, { url, provider, tenant: only }: Issuer): Bearer {
  const { name, tenants, issuers, claims: paths, allow } = provider;
  const subject = textAt(claims, paths.id);
  if (subject === undefined)
    throw new Failure('unauthorized', `the token has no claim ${paths.id.join('.')}, which names its caller`);
  const tenant = tenants === undefined ? undefined : textAt(claims, paths.tenant);
  if (tenants !== undefined && (tenant === undefined || !tenants.includes(tenant) || (only ?? tenant) !== tenant))
    throw new Failure('unauthorized', 'the token is of a tenant that is not allowed here');
  // Two issuers may have the same subject, and mean two persons.
  const realm = tenant ?? (issuers.length > 1 ? url : undefined);
  const id = [name, ...(realm === undefined ? [] : [realm]), subject].map(plain).join(':');
  const has = {
    role: listAt(claims, paths.role),
    group: listAt(claims, paths.group),
    scope: listAt(claims, paths.scope).flatMap((text) => text.split(' ')),
  };
  const found = allow.find((one) => isFor(one, has));
  if (found !== undefined)
    return { isAllowed: true, caller: callerWith(found, { id, fingerprint: `${url}\0${tenant ?? ''}\0${subject}` }) };
  return { isAllowed: false, id, message: `the token has no role, group or scope that is allowed here${hint(claims)}` };
}

type Has = Readonly<Record<'role' | 'group' | 'scope', readonly string[]>>;

function isFor({ role, group, scope, any }: Allowed, has: Has): boolean {
  if (role !== undefined) return has.role.includes(role);
  if (group !== undefined) return has.group.includes(group);
  if (scope !== undefined) return has.scope.includes(scope);
  return any === true;
}

/** Entra ID leaves the groups of a member of more than 200 out, and names a service that knows them. */
function hint(claims: JWTPayload): string {
  const elsewhere = valueAt(claims, ['_claim_names', 'groups']);
  return elsewhere === undefined ? '' : '; it does not list its groups, because they are too many: use roles';
}

/** One part of a caller's id; a hash takes the place of what could be an address, or could contain a separator. */
function plain(text: string): string {
  return PLAIN.test(text) ? text : `~${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`;
}

function textAt(claims: JWTPayload, path: readonly string[]): string | undefined {
  const value = valueAt(claims, path);
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_ID ? value : undefined;
}

function listAt(claims: JWTPayload, path: readonly string[]): readonly string[] {
  const value = valueAt(claims, path);
  return (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string');
}

function valueAt(claims: JWTPayload, path: readonly string[]): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = Object.getOwnPropertyDescriptor(value, name)?.value;
  }
  return value;
}
