import { createLocalJWKSet } from 'jose';
import { z } from 'zod';
import { isTrustedKeyUrl, type Issuer } from './provider-file.ts';

/** Time limit for the documents of one issuer together, in ms. */
const WITHIN_MS = 5_000;
/** Limit of one document in bytes. Entra ID's keys have some 20 kB, because each comes with its certificate. */
const MOST_BYTES = 512 * 1024;
const MOST_KEYS = 100;
const CODE = /^[A-Z][A-Z0-9_]{1,60}$/;

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });
const KeySet = z.object({ keys: z.array(z.unknown()).max(MOST_KEYS) });
/** The public part of a key (RFC 7517). A shared key (`oct`) is none. */
const PublicKey = z.object({
  kty: z.enum(['RSA', 'EC', 'OKP']),
  kid: z.string().exactOptional(),
  alg: z.string().exactOptional(),
  use: z.string().exactOptional(),
  key_ops: z.array(z.string()).exactOptional(),
  n: z.string().exactOptional(),
  e: z.string().exactOptional(),
  crv: z.string().exactOptional(),
  x: z.string().exactOptional(),
  y: z.string().exactOptional(),
});

/** The keys of an issuer as they were read once. */
export interface IssuerKeySet {
  /** finds the key of a token's header */
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly count: number;
  /** equal for equal keys */
  readonly text: string;
}

/** Why keys could not be read, without any text of the issuer. */
export class Unreadable extends Error {}

/** Reads the keys of an issuer. A redirect is not followed: only the operator names hosts. @throws Unreadable */
export async function readKeys(issuer: Pick<Issuer, 'url' | 'jwksUrl'>): Promise<IssuerKeySet> {
  const signal = AbortSignal.timeout(WITHIN_MS);
  try {
    const { keys } = await readAs(KeySet, issuer.jwksUrl ?? (await discoveredUrl(issuer.url, signal)), signal);
    const usable = keys.flatMap((key) => PublicKey.safeParse(key).data ?? []);
    if (usable.length === 0) throw new Unreadable('it has no public key');
    return { find: createLocalJWKSet({ keys: usable }), count: usable.length, text: JSON.stringify(usable) };
  } catch (cause) {
    if (cause instanceof Unreadable) throw cause;
    throw new Unreadable(signal.aborted ? `no answer within ${WITHIN_MS} ms` : codeOf(cause));
  }
}

/** OpenID Connect Discovery 1.0, section 4: the document must name the issuer that it was read for. */
async function discoveredUrl(issuer: string, signal: AbortSignal): Promise<string> {
  const at = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const found = await readAs(Discovery, at, signal);
  if (found.issuer !== issuer) throw new Unreadable('its document is of another issuer');
  if (!isTrustedKeyUrl(found.jwks_uri)) throw new Unreadable('the URL of its keys is not https');
  return found.jwks_uri;
}

async function readAs<Shape extends z.ZodType>(
  shape: Shape,
  url: string,
  signal: AbortSignal,
): Promise<z.output<Shape>> {
  // The next look is minutes away: a connection that is kept until then is usually dead.
  const headers = { accept: 'application/json', connection: 'close' };
  const answer = await fetch(url, { redirect: 'error', signal, headers });
  if (answer.status !== 200) {
    await answer.body?.cancel();
    throw new Unreadable(`status ${answer.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const body: AsyncIterable<Uint8Array> | null = answer.body;
  // Leaving the loop by an error ends the transfer.
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Unreadable(`a document of more than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  const parsed = shape.safeParse(jsonOf(Buffer.concat(chunks).toString()));
  if (!parsed.success) throw new Unreadable('a document of unknown form');
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The code of the system's error, which `fetch` wraps. */
function codeOf(cause: unknown): string {
  const inner = typeof cause === 'object' && cause !== null && 'cause' in cause ? cause.cause : undefined;
  const code = typeof inner === 'object' && inner !== null && 'code' in inner ? inner.code : undefined;
  return typeof code === 'string' && CODE.test(code) ? code : 'no connection, or a broken one';
}
