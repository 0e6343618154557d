import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose';
import { freePort } from '#runtime/free-port';

const AUDIENCE = 'api://penstock';
export const TENANT = '11111111-aaaa-bbbb-cccc-222222222222';
/** One minute: the providers' files of the tests have it too. */
const SKEW_S = 60;

interface SigningKey {
  readonly kid: string;
  readonly alg: 'RS256' | 'ES256';
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
}

interface TokenOptions {
  /** replaces or, with undefined, removes claims */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** signs in the place of the present key */
  readonly key?: SigningKey;
}

/** An issuer of tokens, as Entra ID or Keycloak is one: real keys, the two public documents, and no login. */
export interface TokenServer extends AsyncDisposable {
  /** the claim `iss` of its tokens */
  readonly issuer: string;
  /** paths that were asked for, in order */
  readonly asked: string[];
  /** answers in the place of the documents; undefined: the documents */
  reply: ((path: string, res: ServerResponse) => void) | undefined;
  token(options?: TokenOptions): Promise<string>;
  /** A token whose last part is made by a test. */
  forged(options: TokenOptions, sign: (unsigned: string, publicPem: string) => string): Promise<string>;
  /** A further key signs from now on. The ones before stay in the document if `keep` is set. */
  rotate(keep: boolean, alg?: SigningKey['alg']): Promise<SigningKey>;
  shut(): Promise<void>;
  open(): Promise<void>;
}

/** @param tenant part of the issuer's URL */
export async function startTokenServer(tenant = TENANT): Promise<TokenServer> {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}/${tenant}/v2.0`;
  let published: SigningKey[] = [];
  let made = 0;
  let server: Server | undefined;
  const newKey = async (alg: SigningKey['alg']): Promise<SigningKey> => {
    const pair = await generateKeyPair(alg, { extractable: true });
    made += 1;
    return { kid: `key-${made}`, alg, ...pair };
  };
  const present = (): SigningKey => {
    const key = published.at(-1);
    if (key === undefined) throw new Error('the token server has no key');
    return key;
  };
  const claimsWith = (claims: TokenOptions['claims']): JWTPayload => {
    const now = Math.floor(Date.now() / 1_000);
    const usual = { iss: issuer, aud: AUDIENCE, sub: 'pairwise', oid: 'ada', tid: tenant, roles: ['user'] };
    return { ...usual, iat: now, nbf: now, exp: now + 3_600, ...claims };
  };
  const documents = async (path: string): Promise<object | undefined> => {
    if (path.endsWith('/.well-known/openid-configuration')) return { issuer, jwks_uri: `${issuer}/keys` };
    if (!path.endsWith('/keys')) return undefined;
    const keys = published.map(async ({ publicKey, kid }) => ({ ...(await exportJWK(publicKey)), kid, use: 'sig' }));
    return { keys: await Promise.all(keys) };
  };
  const shut = async (): Promise<void> => {
    if (server?.listening !== true) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  published = [await newKey('RS256')];
  const tokens: TokenServer = {
    issuer,
    asked: [],
    reply: undefined,
    token: async ({ claims, header, key = present() } = {}) =>
      await new SignJWT(claimsWith(claims))
        .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })
        .sign(key.privateKey),
    forged: async ({ claims, header }, sign) => {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const unsigned = `${part({ kid: present().kid, typ: 'JWT', ...header })}.${part(claimsWith(claims))}`;
      return `${unsigned}.${sign(unsigned, await exportSPKI(present().publicKey))}`;
    },
    rotate: async (keep, alg = 'RS256') => {
      const key = await newKey(alg);
      published = keep ? [...published, key] : [key];
      return key;
    },
    shut,
    open: async () => {
      if (server?.listening === true) return;
      server = createServer((req, res) => {
        const { url: path = '' } = req;
        tokens.asked.push(path);
        if (tokens.reply !== undefined) return tokens.reply(path, res);
        void documents(path).then((document) => {
          res.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' });
          res.end(JSON.stringify(document ?? {}));
        });
      });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    [Symbol.asyncDispose]: shut,
  };
  await tokens.open();
  return tokens;
}

/** The file of one provider, as an operator writes it; JSON is YAML. */
export function providerFile(issuer: string, allow: readonly object[], more: object = {}): string {
  const provider = { name: 'entra', issuers: [issuer], audiences: [AUDIENCE], tenants: [TENANT] };
  return JSON.stringify({
    providers: [{ ...provider, clock_skew_seconds: SKEW_S, claims: { id: 'oid' }, allow, ...more }],
  });
}
