import { readFile } from 'node:fs/promises';

/** What Azure's Redis asks of a token (source: learn.microsoft.com/azure/redis/entra-for-authentication). */
const REDIS = 'https://redis.azure.com';
const PUBLIC_CLOUD = 'https://login.microsoftonline.com/';

/** A token, and when to ask for the next one. */
export interface FreshToken {
  readonly token: string;
  /** in milliseconds from now */
  readonly renewAfterMs: number;
}

/** The part of its life after which a token is renewed; a failure leaves time for further tries. */
const RENEWED_AFTER = 0.75;
const LEAST_MS = 1_000;

/** The variables that Azure's SDKs read too; workload identity of AKS sets the first four. */
export interface IdentityEnvironment {
  readonly AZURE_CLIENT_ID?: string | undefined;
  readonly AZURE_TENANT_ID?: string | undefined;
  readonly AZURE_FEDERATED_TOKEN_FILE?: string | undefined;
  readonly AZURE_AUTHORITY_HOST?: string | undefined;
  readonly AZURE_CLIENT_SECRET?: string | undefined;
}

/**
 * Asks Entra ID for tokens for Redis: by the workload identity of AKS, by a client secret, or else by the managed identity
 * of this machine. The package is loaded only then.
 * @returns gives a new token, never one of before @throws Error in one sentence, without a secret
 */
export async function redisTokens(env: IdentityEnvironment): Promise<() => Promise<FreshToken>> {
  const msal = await import('@azure/msal-node');
  const { AZURE_CLIENT_ID: clientId, AZURE_TENANT_ID: tenant, AZURE_FEDERATED_TOKEN_FILE: file } = env;
  const secret = env.AZURE_CLIENT_SECRET;
  const ask = (): Promise<{ readonly accessToken: string; readonly expiresOn: Date | null } | null> => {
    // Without a cache: it would return the token that is about to expire.
    if (clientId === undefined || tenant === undefined || (file === undefined && secret === undefined)) {
      const userAssigned =
        clientId === undefined ? {} : { managedIdentityIdParams: { userAssignedClientId: clientId } };
      return new msal.ManagedIdentityApplication(userAssigned).acquireToken({ resource: REDIS, forceRefresh: true });
    }
    const authority = new URL(tenant, env.AZURE_AUTHORITY_HOST ?? PUBLIC_CLOUD).href;
    const proof =
      file === undefined ? { clientSecret: secret ?? '' } : { clientAssertion: () => readFile(file, 'utf8') };
    return new msal.ConfidentialClientApplication({
      auth: { clientId, authority, ...proof },
    }).acquireTokenByClientCredential({ scopes: [`${REDIS}/.default`], skipCache: true });
  };
  return async () => {
    const answer = await ask().catch((cause: unknown) => {
      const code =
        typeof cause === 'object' && cause !== null && 'errorCode' in cause ? String(cause.errorCode) : 'error';
      throw new Error(`Entra ID gave no token for Redis (${code})`, { cause });
    });
    if (answer === null || answer.accessToken === '') throw new Error('Entra ID gave no token for Redis (no_answer)');
    const leftMs = (answer.expiresOn?.getTime() ?? 0) - Date.now();
    return { token: answer.accessToken, renewAfterMs: Math.max(LEAST_MS, leftMs * RENEWED_AFTER) };
  };
}
