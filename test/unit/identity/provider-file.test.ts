import { expect, test } from '@jest/globals';
import { isTrustedKeyUrl, parseProviderFile } from '../../../gateway/identity/provider-file.ts';

const ENTRA = {
  name: 'entra',
  issuers: ['https://login.microsoftonline.com/{tenantid}/v2.0', 'https://sts.windows.net/{tenantid}/'],
  audiences: ['api://penstock'],
  tenants: ['one', 'two'],
  allow: [{ role: 'user' }],
};
const file = (...providers: object[]): string => JSON.stringify({ providers });

test('each tenant has its own issuers', () => {
  expect(parseProviderFile(file(ENTRA)).map(({ url, tenant }) => [url, tenant])).toEqual([
    ['https://login.microsoftonline.com/one/v2.0', 'one'],
    ['https://login.microsoftonline.com/two/v2.0', 'two'],
    ['https://sts.windows.net/one/', 'one'],
    ['https://sts.windows.net/two/', 'two'],
  ]);
});

test('what the file leaves out is safe', () => {
  const [issuer] = parseProviderFile(file({ ...ENTRA, claims: { id: 'oid' } }));
  expect(issuer?.provider).toMatchObject({
    algorithms: ['RS256'],
    clock_skew_seconds: 60,
    claims: { id: ['oid'], tenant: ['tid'], role: ['roles'], group: ['groups'], scope: ['scp'] },
    allow: [{ role: 'user', weight: 1, tiers: ['default', 'flex'], scopes: [], caps: {}, limits: {} }],
  });
});

test.each([
  ['no provider', file(), 'providers'],
  ['an empty file', '', 'expected object'],
  ['no YAML', 'providers: [', 'line 1 is not YAML'],
  ['a shared key', file({ ...ENTRA, algorithms: ['HS256'] }), 'providers.0.algorithms.0'],
  ['no signature', file({ ...ENTRA, algorithms: ['none'] }), 'providers.0.algorithms.0'],
  ['http', file({ ...ENTRA, issuers: ['http://login.example'] }), 'providers.0.issuers.0 must be an https URL'],
  ['http for keys', file({ ...ENTRA, jwks_url: 'http://keys.example' }), 'providers.0.jwks_url must be an https URL'],
  ['no audience', file({ ...ENTRA, audiences: [] }), 'providers.0.audiences'],
  ['nobody allowed', file({ ...ENTRA, allow: [] }), 'providers.0.allow'],
  [
    'an entry for two',
    file({ ...ENTRA, allow: [{ role: 'a', group: 'b' }] }),
    'providers.0.allow.0 needs exactly one of role, group, scope and any',
  ],
  ['an entry for none', file({ ...ENTRA, allow: [{ weight: 2 }] }), 'providers.0.allow.0 needs exactly one'],
  ['an unknown right', file({ ...ENTRA, allow: [{ role: 'a', admin: true }] }), 'providers.0.allow.0'],
  ['an endless skew', file({ ...ENTRA, clock_skew_seconds: 100_000 }), 'providers.0.clock_skew_seconds'],
  ['a name twice', file(ENTRA, { ...ENTRA, issuers: ['https://x'] }), 'the name entra is given twice'],
  ['an issuer twice', file(ENTRA, { ...ENTRA, name: 'other' }), 'the issuer https://login'],
  ['tenants left out', file({ ...ENTRA, tenants: undefined }), 'entra has {tenantid} in a URL, and no tenants'],
])('a file with %s is refused, and the field is named', (_what, text, message) => {
  expect(() => parseProviderFile(text)).toThrow(message);
});

test.each([
  ['https://login.microsoftonline.com/common/discovery/v2.0/keys', true],
  ['http://127.0.0.1:8080/keys', true],
  ['http://[::1]/keys', true],
  ['http://localhost/keys', true],
  ['http://localhost.example/keys', false],
  ['http://169.254.169.254/keys', false],
  ['https://user:secret@example.com/keys', false],
  ['file:///etc/passwd', false],
  ['', false],
])('keys may be read from %s: %s', (url, expected) => {
  expect(isTrustedKeyUrl(url)).toBe(expected);
});
