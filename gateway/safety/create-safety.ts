import type { KeyCredential, TokenCredential } from '@azure/core-auth';
import { z } from 'zod';
import { readSecretFile } from '#runtime/setting-file';
import { createAddressGuard } from '../images/fetch/address-guard.ts';
import { createNameLookup } from '../images/fetch/name-lookup.ts';
import { createAzureProvider } from './azure-provider.ts';
import { ContentSafety, type ContentSafetyOptions } from './content-safety.ts';
import { GuardedHost } from './guarded-host.ts';
import type { Provider } from './provider.ts';
import { SAFETY_SETTINGS } from './settings.ts';
import { createWebhookProvider } from './webhook-provider.ts';

const Settings = z.object(SAFETY_SETTINGS);
type Config = Readonly<z.infer<typeof Settings>> & {
  readonly GATEWAY_KEYS_FILE?: string | undefined;
  readonly GATEWAY_WEBHOOK_ALLOW: readonly string[];
  readonly GATEWAY_IMAGE_NAME_SERVERS: readonly string[];
};
/** How long a token is taken as valid before its file is read again, in ms. */
const TOKEN_MS = 60_000;
const SECRET = /^whsec_[A-Za-z0-9+/]{32,}={0,2}$/;

/**
 * The content filter of the settings; undefined: it is off.
 * @throws Error in one sentence that names the setting, and never a secret
 */
export async function createSafety(
  config: Config,
  watch: Pick<ContentSafetyOptions, 'clock' | 'log' | 'onCheck' | 'onUnchecked'>,
): Promise<ContentSafety | undefined> {
  const { GATEWAY_SAFETY_PROVIDER: name, GATEWAY_SAFETY_URL: url } = config;
  if (name === 'off') {
    const [alone] = [
      'GATEWAY_SAFETY_URL',
      'GATEWAY_SAFETY_KEY',
      'GATEWAY_SAFETY_KEY_FILE',
      'GATEWAY_SAFETY_TOKEN_FILE',
    ].filter((setting) => setting in config);
    return alone === undefined ? undefined : refuse(`${alone}: needs GATEWAY_SAFETY_PROVIDER, azure or webhook`);
  }
  if (url === undefined) return refuse('GATEWAY_SAFETY_URL: missing; it takes the URL of the service');
  const host = new GuardedHost(
    new URL(url),
    {
      guard: createAddressGuard(config.GATEWAY_WEBHOOK_ALLOW),
      lookup: createNameLookup({ servers: config.GATEWAY_IMAGE_NAME_SERVERS }),
    },
    config.GATEWAY_SAFETY_LIMIT_CHECKS,
    config.GATEWAY_SAFETY_TIMEOUT_MS,
  );
  return new ContentSafety({
    provider: await providerOf(config, new URL(url), host),
    name,
    directions: new Set(config.GATEWAY_SAFETY_CHECKS),
    onFailure: config.GATEWAY_SAFETY_ON_FAILURE,
    timeoutMs: config.GATEWAY_SAFETY_TIMEOUT_MS,
    concurrency: config.GATEWAY_SAFETY_LIMIT_CHECKS,
    // Without keys all callers are one.
    perKey: Math.ceil(config.GATEWAY_SAFETY_LIMIT_CHECKS / (config.GATEWAY_KEYS_FILE === undefined ? 1 : 4)),
    windowCharacters: config.GATEWAY_SAFETY_WINDOW,
    ...watch,
  });
}

async function providerOf(config: Config, url: URL, host: GuardedHost): Promise<Provider> {
  const key = keyOf(config);
  const { GATEWAY_SAFETY_TOKEN_FILE: tokenFile, GATEWAY_SAFETY_SEVERITIES: thresholds } = config;
  if (config.GATEWAY_SAFETY_PROVIDER === 'webhook') {
    if (tokenFile !== undefined) return refuse('GATEWAY_SAFETY_TOKEN_FILE: only Azure takes a token');
    if (Object.keys(thresholds).length > 0)
      return refuse('GATEWAY_SAFETY_SEVERITIES: only for Azure; a webhook decides itself');
    if (key !== undefined && !SECRET.test(key))
      return refuse('GATEWAY_SAFETY_KEY: for a webhook it is a secret: whsec_ and 24 bytes or more in base64');
    return createWebhookProvider({ url, secret: key, host });
  }
  const credential = credentialOf(key, tokenFile);
  if (url.protocol !== 'https:' && tokenFile !== undefined)
    return refuse('GATEWAY_SAFETY_URL: takes an https URL, because a token is sent over TLS only');
  return createAzureProvider({ endpoint: url, credential, thresholds, host });
}

function keyOf({ GATEWAY_SAFETY_KEY: key, GATEWAY_SAFETY_KEY_FILE: file }: Config): string | undefined {
  if (file === undefined) return key;
  if (key !== undefined) return refuse('GATEWAY_SAFETY_KEY: _FILE gives one too; leave one out');
  return filled('GATEWAY_SAFETY_KEY_FILE', file);
}

function credentialOf(key: string | undefined, tokenFile: string | undefined): KeyCredential | TokenCredential {
  if (key !== undefined && tokenFile !== undefined)
    return refuse('GATEWAY_SAFETY_TOKEN_FILE: a key is given too; leave one out');
  if (tokenFile === undefined)
    return key === undefined
      ? refuse('GATEWAY_SAFETY_KEY: missing; Azure needs it, or GATEWAY_SAFETY_KEY_FILE, or GATEWAY_SAFETY_TOKEN_FILE')
      : { key };
  const read = (): string => filled('GATEWAY_SAFETY_TOKEN_FILE', tokenFile);
  // A missing or empty file is refused at start.
  read();
  return {
    getToken: () => Promise.resolve({ token: read(), expiresOnTimestamp: Date.now() + TOKEN_MS }),
  };
}

function filled(setting: string, path: string): string {
  const secret = readSecretFile(setting, path).trim();
  return secret === '' ? refuse(`${setting}: ${path} is empty`) : secret;
}

function refuse(problem: string): never {
  throw new Error(`bad configuration\n  ${problem}`);
}
