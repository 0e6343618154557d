import { createHmac } from 'node:crypto';
import { readSecretFile } from '#runtime/setting-file';
import type { Caller } from './caller.ts';

/** Separates one caller's prefixes in an engine's cache from those of all others. */
export type CacheSalt = (caller: Caller) => string;

/**
 * Makes salts that cannot be guessed without the secret, the same in all replicas that share it. Each key has its own.
 * A key that is deleted and created again under its old name gets a new one, so that it finds nothing of its former
 * owner.
 */
export function createCacheSalt(secret: string): CacheSalt {
  return ({ id, fingerprint }) => createHmac('sha256', secret).update(`${id}\0${fingerprint}`).digest('base64url');
}

const SHORTEST = 16;

/**
 * The secret from the settings, if they give one.
 * @throws Error in one sentence that names the setting, and never a value
 */
export function givenSecret(settings: {
  readonly GATEWAY_CACHE_SALT_SECRET?: string | undefined;
  readonly GATEWAY_CACHE_SALT_SECRET_FILE?: string | undefined;
}): string | undefined {
  const { GATEWAY_CACHE_SALT_SECRET: given, GATEWAY_CACHE_SALT_SECRET_FILE: file } = settings;
  if (file === undefined) return given;
  if (given !== undefined)
    throw new Error('bad configuration\n  GATEWAY_CACHE_SALT_SECRET: _FILE gives one too; leave one out');
  const secret = readSecretFile('GATEWAY_CACHE_SALT_SECRET_FILE', file);
  if (secret.length >= SHORTEST) return secret;
  throw new Error(
    `bad configuration\n  GATEWAY_CACHE_SALT_SECRET_FILE: ${file} must hold at least ${SHORTEST} characters`,
  );
}
