import { expect, test } from '@jest/globals';
import { bearerOf } from '../../../gateway/identity/bearer.ts';
import { parseProviderFile } from '../../../gateway/identity/provider-file.ts';

const file = (issuers: string, more = ''): string =>
  `providers: [{name: corp, issuers: [${issuers}], audiences: [a], allow: [{any: true}]${more}}]`;
const idsOf = (text: string, claims: Record<string, string>): string[] =>
  parseProviderFile(text).map((issuer) => {
    const bearer = bearerOf(claims, issuer);
    return bearer.isAllowed ? bearer.caller.id : bearer.id;
  });

test('the same subject of two issuers is two callers, unless both are of one tenant', () => {
  const two = 'https://id.example/realm-a, https://id.example/realm-b';
  const [a, b] = idsOf(file(two), { sub: 'alice' });
  expect([a, b]).toEqual([expect.stringMatching(/^corp:~[\w-]{22}:alice$/), expect.stringMatching(/^corp:~/)]);
  expect(a).not.toBe(b);
  expect(idsOf(file('https://id.example'), { sub: 'alice' })).toEqual(['corp:alice']);
  const both = 'https://sts.windows.net/t/, https://login.microsoftonline.com/t/v2.0';
  expect(idsOf(file(both, ', tenants: [t]'), { sub: 'alice', tid: 't' })).toEqual(['corp:t:alice', 'corp:t:alice']);
});
