import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateKeyPair } from 'jose';
import { isFailure } from '../../gateway/failure.ts';
import { LiveTokens } from '../../gateway/identity/live-tokens.ts';
import { parseKeyFile } from '../../gateway/keys/key-file.ts';
import { hashOfKey, KeyRing } from '../../gateway/keys/key-ring.ts';
import { noAudit } from '../support/silent-log.ts';
import { asManyHere } from '../support/cpu-time.ts';
import { eventually } from '../support/eventually.ts';
import { temporaryFolder } from '../support/start-process.ts';
import { providerFile, startTokenServer, TENANT, type TokenServer } from '../support/token-server.ts';

const USERS = [{ role: 'admin', weight: 8, tiers: ['priority'] }, { role: 'user' }];

interface Followed extends Disposable {
  readonly tokens: LiveTokens;
  readonly lines: readonly string[];
  /** of its clock, in ms */
  pass(ms: number): void;
  write(text: string): void;
}

/** The tokens of a file of providers. */
function follow(text: string): Followed {
  const folder = temporaryFolder();
  const path = join(folder.path, 'identity.yaml');
  const lines: string[] = [];
  const note = (fields: object, event: string): void => void lines.push(`${event} ${JSON.stringify(fields)}`);
  let now = 0;
  writeFileSync(path, text);
  const tokens = new LiveTokens(path, () => now, { debug: note, info: note, warn: note, error: note }, noAudit);
  return {
    tokens,
    lines,
    pass: (ms) => (now += ms),
    write: (changed) => writeFileSync(path, changed),
    [Symbol.dispose]: () => {
      tokens.close();
      folder[Symbol.dispose]();
    },
  };
}

let server: TokenServer;
let matrix: Followed;
beforeAll(async () => {
  server = await startTokenServer();
  matrix = follow(providerFile(server.issuer, USERS));
});
afterAll(async () => {
  matrix[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

/** Who bears a token, or why it is refused. */
async function said(token: string, { tokens } = matrix): Promise<string> {
  try {
    const bearer = await tokens.bearerOf(token);
    return bearer.isAllowed ? `${bearer.caller.id} ${bearer.caller.weight}` : `${bearer.id}: ${bearer.message}`;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
}
const ID = `entra:${TENANT}`;
const seconds = (): number => Math.floor(Date.now() / 1_000);
const strange = async (alg: 'RS256' | 'ES256') => ({ kid: 'key-1', alg, ...(await generateKeyPair(alg)) });
const MANY_GROUPS = Array.from({ length: 400 }, () => randomBytes(16).toString('hex'));

/** Each with a token, and what the gateway says about it. */
const TOKENS: readonly (readonly [name: string, make: () => Promise<string> | string, expected: string])[] = [
  ['good', () => server.token(), `${ID}:ada 1`],
  [
    'of a caller with two roles',
    () => server.token({ claims: { roles: ['user', 'admin'], oid: 'bob' } }),
    `${ID}:bob 8`,
  ],
  ['with its role as a text', () => server.token({ claims: { roles: 'user' } }), `${ID}:ada 1`],
  ['for several audiences', () => server.token({ claims: { aud: ['other', 'api://penstock'] } }), `${ID}:ada 1`],
  ['expired, within the skew', () => server.token({ claims: { exp: seconds() - 30 } }), `${ID}:ada 1`],
  ['not valid yet, within the skew', () => server.token({ claims: { nbf: seconds() + 30 } }), `${ID}:ada 1`],
  [
    'whose id is an address',
    () => server.token({ claims: { oid: 'ada@example.com' } }),
    `${ID}:~tfyF5VdV-eDQMKEKtEKbay 1`,
  ],
  ['expired', () => server.token({ claims: { exp: seconds() - 61 } }), 'unauthorized: the token has expired'],
  [
    'not valid yet',
    () => server.token({ claims: { nbf: seconds() + 90 } }),
    'unauthorized: the token is not valid yet',
  ],
  ['without an end', () => server.token({ claims: { exp: undefined } }), 'unauthorized: the token has no claim exp'],
  [
    'for another audience',
    () => server.token({ claims: { aud: 'https://graph.microsoft.com' } }),
    'unauthorized: the token is for another audience',
  ],
  ['for no audience', () => server.token({ claims: { aud: undefined } }), 'unauthorized: the token has no claim aud'],
  [
    'of another issuer',
    () => server.token({ claims: { iss: 'https://login.example/v2.0' } }),
    'unauthorized: the token is of an issuer or tenant that is not known here',
  ],
  [
    'of no issuer',
    () => server.token({ claims: { iss: undefined } }),
    'unauthorized: the token is of an issuer or tenant that is not known here',
  ],
  [
    'of another tenant',
    () => server.token({ claims: { tid: '33333333-aaaa-bbbb-cccc-444444444444' } }),
    'unauthorized: the token is of a tenant that is not allowed here',
  ],
  [
    'of no tenant',
    () => server.token({ claims: { tid: undefined } }),
    'unauthorized: the token is of a tenant that is not allowed here',
  ],
  [
    'of no caller',
    () => server.token({ claims: { oid: undefined } }),
    'unauthorized: the token has no claim oid, which names its caller',
  ],
  [
    'unsigned (alg none)',
    () => server.forged({ header: { alg: 'none' } }, () => ''),
    'unauthorized: the token is signed with an algorithm that is not allowed here',
  ],
  [
    'signed with the public key as a shared one (HS256)',
    () =>
      server.forged({ header: { alg: 'HS256' } }, (text, pem) =>
        createHmac('sha256', pem).update(text).digest('base64url'),
      ),
    'unauthorized: the token is signed with an algorithm that is not allowed here',
  ],
  [
    'that says RS256 and is signed with a shared key',
    () =>
      server.forged({ header: { alg: 'RS256' } }, (text, pem) =>
        createHmac('sha256', pem).update(text).digest('base64url'),
      ),
    'unauthorized: the signature of the token is wrong',
  ],
  [
    'signed with an algorithm that is right and not configured',
    async () => server.token({ key: await strange('ES256') }),
    'unauthorized: the token is signed with an algorithm that is not allowed here',
  ],
  [
    'signed by a stranger with the name of a known key',
    async () => server.token({ key: await strange('RS256') }),
    'unauthorized: the signature of the token is wrong',
  ],
  [
    'with the key in its header (jwk)',
    async () => {
      const key = await strange('RS256');
      return server.token({ key, header: { jwk: { kty: 'RSA', n: 'AQAB', e: 'AQAB' }, jku: `${server.issuer}/mine` } });
    },
    'unauthorized: the signature of the token is wrong',
  ],
  [
    'with an unknown critical extension',
    () => server.forged({ header: { alg: 'RS256', crit: ['x'], x: 1 } }, () => 'AAAA'),
    'unauthorized: the token is not a JSON Web Token of a form that is known here',
  ],
  [
    'with an unknown key',
    () => server.token({ header: { kid: 'nobody-has-it' } }),
    'unauthorized: the token is signed with a key that its issuer does not have',
  ],
  [
    'with a role that is not mapped',
    () => server.token({ claims: { roles: ['guest'] } }),
    `${ID}:ada: the token has no role, group or scope that is allowed here`,
  ],
  [
    'with groups that are too many to list',
    () => server.token({ claims: { roles: undefined, _claim_names: { groups: 'src1' } } }),
    `${ID}:ada: the token has no role, group or scope that is allowed here; it does not list its groups, because they are too many: use roles`,
  ],
  [
    'that is huge',
    () => server.token({ claims: { groups: MANY_GROUPS } }),
    'unauthorized: the token is longer than 12288 characters',
  ],
  ['that is garbage', () => 'eyJhbGciOiJSUzI1NiJ9.garbage.garbage', 'unauthorized: the token is not a JSON Web Token'],
  ['that is empty', () => 'eyJ..', 'unauthorized: the token is not a JSON Web Token'],
];

test.each(TOKENS)('a token %s', async (_name, make, expected) => {
  const token = await make();
  expect(await said(token)).toBe(expected);
  // Remembered or not, it is the same.
  expect(await said(token)).toBe(expected);
  expect(matrix.lines.join('\n')).not.toContain(token.slice(-20));
});

const GOOD = `${ID}:ada 1`;
const DOWN =
  "issuer_unavailable: the keys of the token's issuer (entra) cannot be read at the moment; send the same request again";
const UNKNOWN_KEY = 'unauthorized: the token is signed with a key that its issuer does not have';

test('a new key of the issuer is fetched when a token names it, and the tokens of a withdrawn one are forgotten', async () => {
  await using issuer = await startTokenServer();
  using followed = follow(providerFile(issuer.issuer, USERS));
  const first = await issuer.token();
  expect(await said(first, followed)).toBe(GOOD);
  await issuer.rotate(true);
  expect(await said(await issuer.token(), followed)).toBe(GOOD);
  expect(await said(first, followed)).toBe(GOOD);
  await issuer.rotate(false);
  followed.pass(10_000);
  expect(await said(await issuer.token(), followed)).toBe(GOOD);
  expect(await said(first, followed)).toBe(UNKNOWN_KEY);
});

test('garbage key ids make the issuer work at most once in 10 seconds', async () => {
  await using issuer = await startTokenServer();
  using followed = follow(providerFile(issuer.issuer, USERS));
  expect(await said(await issuer.token(), followed)).toBe(GOOD);
  const before = issuer.asked.length;
  for (let at = 0; at < 100; at += 1)
    expect(await said(await issuer.token({ header: { kid: `garbage-${at}` } }), followed)).toBe(UNKNOWN_KEY);
  // One look is two documents.
  expect(issuer.asked.length - before).toBe(2);
  followed.pass(10_000);
  await Promise.all(
    Array.from({ length: 20 }, async (_, at) => said(await issuer.token({ header: { kid: `more-${at}` } }), followed)),
  );
  expect(issuer.asked.length - before).toBe(4);
});

test('an issuer that is down at the start: 503 until it answers, never accepted; one line each', async () => {
  await using issuer = await startTokenServer();
  const token = await issuer.token();
  await issuer.shut();
  using followed = follow(providerFile(issuer.issuer, USERS));
  expect(await said(token, followed)).toBe(DOWN);
  expect(await said(token, followed)).toBe(DOWN);
  await expect(followed.tokens.bearerOf(token)).rejects.toMatchObject({
    status: 503,
    options: { retryAfterMs: 5_000 },
  });
  expect(followed.tokens.views).toMatchObject([
    { provider: 'entra', issuer: issuer.issuer, state: 'failing', trouble: 'ECONNREFUSED', keys: 0 },
  ]);
  await issuer.open();
  followed.pass(5_000);
  expect(await said(token, followed)).toBe(GOOD);
  expect(followed.lines.filter((line) => line.includes('keys of an issuer cannot'))).toHaveLength(1);
  expect(followed.lines.filter((line) => line.includes('an issuer answers again'))).toHaveLength(1);
});

test('while the issuer is down its keys stay in use, also after a change of the file, for a day', async () => {
  await using issuer = await startTokenServer();
  using followed = follow(providerFile(issuer.issuer, USERS));
  expect(await said(await issuer.token(), followed)).toBe(GOOD);
  await issuer.shut();
  const unknown = await issuer.token({ header: { kid: 'garbage' } });
  expect(await said(unknown, followed)).toMatch(/^issuer_unavailable: /);
  followed.pass(23 * 3_600_000);
  followed.write(providerFile(issuer.issuer, [{ role: 'user', weight: 2 }]));
  const other = await issuer.token();
  await eventually('the change applies', async () => (await said(other, followed)) === `${ID}:ada 2`, 5_000);
  expect(followed.tokens.views).toMatchObject([{ state: 'failing', keys: 1 }]);
  followed.pass(2 * 3_600_000);
  expect(await said(await issuer.token({ claims: { oid: 'new' } }), followed)).toBe(DOWN);
});

test('a role that the file no longer allows is refused, though the token is remembered', async () => {
  using followed = follow(providerFile(server.issuer, USERS));
  const token = await server.token();
  expect(await said(token, followed)).toBe(GOOD);
  followed.write(providerFile(server.issuer, [{ role: 'admin' }]));
  await eventually('the role is revoked', async () => (await said(token, followed)).includes('no role'), 5_000);
  followed.write('providers: [');
  await eventually('the file is bad', () => followed.lines.some((line) => line.includes('cannot be used')), 5_000);
  expect(await said(token, followed)).toContain('no role');
});

test.each<[string, string, (path: string, issuer: string) => [number, string]]>([
  [
    'another issuer',
    'its document is of another issuer',
    () => [200, '{"issuer": "https://x", "jwks_uri": "https://x"}'],
  ],
  [
    'keys by http',
    'the URL of its keys is not https',
    (_path, issuer) => [200, JSON.stringify({ issuer, jwks_uri: 'http://keys.example' })],
  ],
  ['no JSON', 'a document of unknown form', () => [200, '<html>']],
  ['too much', 'a document of more than 524288 bytes', () => [200, ' '.repeat(600_000)]],
  ['a redirect', 'no connection, or a broken one', () => [302, '']],
  ['an error', 'status 500', () => [500, 'a secret of the issuer']],
  [
    'only a shared key',
    'it has no public key',
    (path, issuer) => [
      200,
      path.endsWith('keys')
        ? '{"keys": [{"kty": "oct", "k": "AAAA"}]}'
        : JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }),
    ],
  ],
])('an issuer that answers with %s is failing: %s', async (_what, trouble, answer) => {
  await using issuer = await startTokenServer();
  issuer.reply = (path, res) => {
    const [status, body] = answer(path, issuer.issuer);
    res.writeHead(status, { location: '/elsewhere' }).end(body);
  };
  using followed = follow(providerFile(issuer.issuer, USERS));
  expect(await said(await issuer.token(), followed)).toBe(DOWN);
  expect(followed.tokens.views).toMatchObject([{ state: 'failing', trouble, keys: 0 }]);
  expect(followed.lines.join()).not.toContain('a secret of the issuer');
});

test.each([
  ['too short', () => generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' })],
  ['broken', () => ({ kty: 'RSA', n: '!', e: 'AQAB' })],
])('a key of the issuer that is %s verifies nothing, and is no fault of the gateway', async (_what, make) => {
  await using issuer = await startTokenServer();
  issuer.reply = (_path, res) => res.writeHead(200).end(JSON.stringify({ keys: [{ ...make(), kid: 'key-1' }] }));
  using followed = follow(providerFile(issuer.issuer, USERS, { jwks_url: `${issuer.issuer}/keys` }));
  expect(await said(await issuer.token(), followed)).toBe(
    'unauthorized: the key of the issuer that signed the token cannot be used',
  );
});

const WARM_UP = 300;
test('a verified token costs less than 0.05 ms of CPU, and a new one less than 0.3 ms', async () => {
  await using issuer = await startTokenServer();
  using followed = follow(providerFile(issuer.issuer, USERS));
  const made = await Promise.all(Array.from({ length: 800 }, (_, at) => issuer.token({ claims: { jti: String(at) } })));
  const [one = ''] = made;
  const ring = new KeyRing(parseKeyFile(`keys: [{id: one, primary: ${hashOfKey('secret').toString('hex')}}]`));
  const cpuMs = async (times: number, work: (at: number) => unknown): Promise<number> => {
    const begun = process.cpuUsage();
    for (let at = 0; at < times; at += 1) await work(at);
    const { user, system } = process.cpuUsage(begun);
    return (user + system) / 1_000 / times;
  };
  const verify = (at: number): unknown => followed.tokens.bearerOf(made[at] ?? '');
  // The first ones run uncompiled code.
  await cpuMs(WARM_UP, verify);
  const fresh = await cpuMs(made.length - WARM_UP, (at) => verify(WARM_UP + at));
  const known = await cpuMs(10_000, () => followed.tokens.bearerOf(one));
  const key = await cpuMs(10_000, () => ring.find(['secret']));
  process.stdout.write(
    `CPU a request: known token ${known.toFixed(4)} ms, new token ${fresh.toFixed(4)} ms, key ${key.toFixed(4)} ms\n`,
  );
  expect(known - key).toBeLessThan(asManyHere(0.05 * 1_000) / 1_000);
  expect(fresh - key).toBeLessThan(asManyHere(0.3 * 1_000) / 1_000);
});
