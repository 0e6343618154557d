import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { Failure, isFailure } from '../failure.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import type { Issuer } from './provider-file.ts';

/** Limit of a token in characters. One of Entra ID with 200 groups has some 11,000. */
const LONGEST_TOKEN = 12_288;

/** An issuer whose tokens are accepted. */
export interface Known {
  readonly issuer: Issuer;
  readonly keys: Pick<IssuerKeys, 'current' | 'again'>;
}

/** A token whose signature, issuer, audience and times are right. */
export interface Verified {
  readonly claims: JWTPayload;
  readonly issuer: Issuer;
  /** from then on it is refused, in seconds since 1970 */
  readonly endsAt: number;
}

/**
 * Verifies a token (RFC 7519). No text of it gets into a message.
 * @param known issuers by the claim `iss`
 * @throws Failure `unauthorized`, `issuer_unavailable`
 */
export async function verifyToken(token: string, known: ReadonlyMap<string, Known>): Promise<Verified> {
  if (token.length > LONGEST_TOKEN) throw refused(`the token is longer than ${LONGEST_TOKEN} characters`);
  const { iss, alg } = unverified(token);
  const found = known.get(iss);
  if (found === undefined) throw refused('the token is of an issuer or tenant that is not known here');
  const { issuer, keys } = found;
  const { algorithms, audiences, clock_skew_seconds: clockTolerance } = issuer.provider;
  if (!algorithms.some((allowed) => allowed === alg))
    throw refused('the token is signed with an algorithm that is not allowed here');
  const key: JWTVerifyGetKey = async (header, jws) => {
    const now = await keys.current();
    try {
      return await now.find(header, jws);
    } catch (cause) {
      if (!(cause instanceof errors.JWKSNoMatchingKey)) throw cause;
      return await (await keys.again()).find(header, jws);
    }
  };
  const options = { algorithms, audience: audiences, issuer: issuer.url, clockTolerance, requiredClaims: ['exp'] };
  const { payload: claims } = await jwtVerify(token, key, options).catch((cause: unknown) => {
    if (isFailure(cause)) throw cause;
    if (cause instanceof errors.JOSEError) throw refused(sentenceOf(cause), cause.code);
    // Such as a TypeError for a key that is too short.
    throw refused('the key of the issuer that signed the token cannot be used', cause);
  });
  return { claims, issuer, endsAt: (claims.exp ?? 0) + clockTolerance };
}

/** What the token says about itself; all of it is checked later. */
function unverified(token: string): { iss: string; alg: string } {
  try {
    return { iss: decodeJwt(token).iss ?? '', alg: decodeProtectedHeader(token).alg ?? '' };
  } catch {
    throw refused('the token is not a JSON Web Token');
  }
}

/** @param cause for the log: a code of the library, or its error */
function refused(message: string, cause?: unknown): Failure {
  return new Failure('unauthorized', message, cause === undefined ? {} : { cause });
}

function sentenceOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return `the token has no claim ${error.claim}`;
    if (error.reason === 'invalid') return `the claim ${error.claim} of the token is not a number`;
    if (error.claim === 'nbf') return 'the token is not valid yet';
    return error.claim === 'aud' ? 'the token is for another audience' : 'the token is of another issuer';
  }
  if (error instanceof errors.JWKSNoMatchingKey) return 'the token is signed with a key that its issuer does not have';
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return 'the token does not say (kid) with which key of its issuer it is signed';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature of the token is wrong';
  return 'the token is not a JSON Web Token of a form that is known here';
}
