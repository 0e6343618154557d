import { createHmac } from 'node:crypto';
import { readSecretFile } from '#runtime/setting-file';
import type { Caller } from './caller.ts';

/** What separates one caller's prefixes in an engine's cache from those of all others. */
export type CacheSalt = (caller: Caller) => string;

/**
 * Salts that nobody can guess who does not know the secret, the same in all replicas that share it. Another one for each key,
 * so that a key which is deleted and made again under its old name finds nothing of its former holder.
 */
export function createCacheSalt(secret: string): CacheSalt {
  return ({ id, fingerprint }) => createHmac('sha256', secret).update(`${id}\0${fingerprint}`).digest('base64url');
}

const SHORTEST = 16;

/**
 * The secret that the settings give, if they do.
 * @throws Error in one sentence that names the setting, and never a value
 */
export function givenSecret(settings: {
  readonly GATEWAY_CACHE_SALT_SECRET?: string | undefined;
  readonly GATEWAY_CACHE_SALT_SECRET_FILE?: string | undefined;
}): string | undefined {
  const { GATEWAY_CACHE_SALT_SECRET: given, GATEWAY_CACHE_SALT_SECRET_FILE: file } = settings;
  if (file === undefined) return given;
  if (given !== undefined)
    throw new Error('bad configuration\n  GATEWAY_CACHE_SALT_SECRET: given a second time by _FILE; leave one out');
  const secret = readSecretFile('GATEWAY_CACHE_SALT_SECRET_FILE', file);
  if (secret.length >= SHORTEST) return secret;
  throw new Error(
    `bad configuration\n  GATEWAY_CACHE_SALT_SECRET_FILE: ${file} must hold at least ${SHORTEST} characters`,
  );
}
