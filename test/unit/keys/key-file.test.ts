import { expect, test } from '@jest/globals';
import {
  newKey,
  newWebhookSecret,
  withKey,
  withoutKey,
  withScopes,
  withWebhook,
} from '../../../gateway/keys/key-edit.ts';
import { ANYONE, NOBODY } from '../../../gateway/keys/caller.ts';
import { parseKeyFile } from '../../../gateway/keys/key-file.ts';
import { KeyRing, hashOfKey } from '../../../gateway/keys/key-ring.ts';
import { phi3Card } from '../../support/phi3-card.ts';

const sha = (key: string): string => hashOfKey(key).toString('hex');
const reason = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return String((error as { message: string }).message);
  }
  throw new Error('was accepted');
};
const ONE = `# the team in Oslo\nkeys:\n  - id: oslo # night shift\n    primary: ${sha('first')}\n    weight: 2\n`;

test('a caller is found by either of its keys, with its scopes', () => {
  const ring = new KeyRing(
    parseKeyFile(`{"keys": [{"id": "oslo", "primary": "${sha('a').toUpperCase()}", "secondary": "${sha('b')}", "weight": 3,
      "models": ["azureai"], "routes": ["/v1/chat", "/score/"], "caps": {"waiting_jobs": 5},
      "limits": {"tokens_per_day": 1000000}, "tiers": ["flex"]}]}`),
  );
  expect(ring.size).toBe(2);
  expect(ring.find(['nothing'])).toBeUndefined();
  const caller = ring.find(['nothing', 'b']);
  expect(caller).toBe(ring.find(['a']));
  expect(caller).toMatchObject({ id: 'oslo', weight: 3, caps: { waiting_jobs: 5 } });
  expect(caller).toMatchObject({ limits: { tokens_per_day: 1_000_000 }, tiers: ['flex'] });
  const may = (path: string): boolean | undefined => caller?.mayCall(path);
  for (const path of ['/v1/chat', '/v1/chat/completions', '/score', '/score/'])
    expect([path, may(path)]).toEqual([path, true]);
  for (const path of ['/v1', '/v1/chatty', '/v1/models', '/', '/v1//chat'])
    expect([path, may(path)]).toEqual([path, false]);
  expect(caller?.mayUse(phi3Card())).toBe(true);
  expect(caller?.mayUse({ ...phi3Card(), aliases: [] })).toBe(false);
});

test('a new key has 256 random bits after a prefix, and no two are equal', () => {
  expect(newKey()).toMatch(/^penstock_[\w-]{43}$/);
  expect(newKey()).not.toBe(newKey());
});

test('if two keys are valid, the first counts', () => {
  const ring = new KeyRing(parseKeyFile(withKey(ONE, 'bergen', undefined, 'second', {})));
  expect(ring.find(['second', 'first'])?.id).toBe('bergen');
});

test('without limits and tiers, a key has no limit, and may ask for all classes except priority', () => {
  const caller = new KeyRing(parseKeyFile(ONE)).find(['first']);
  expect(caller).toMatchObject({ limits: {}, tiers: ['default', 'flex'] });
});

test('only a key with the scope operate may see what concerns all callers', () => {
  const may = (text: string): boolean | undefined => new KeyRing(parseKeyFile(text)).find(['first'])?.mayOperate;
  const operator = withScopes(ONE, 'oslo', { scopes: ['operate'] });
  expect([may(ONE), may(operator), may(withScopes(operator, 'oslo', { scopes: 'none' }))]).toEqual([
    false,
    true,
    false,
  ]);
  expect([ANYONE.mayOperate, NOBODY.mayOperate]).toEqual([true, false]);
});

test('without scopes, or with the route /, a caller may use everything', () => {
  for (const text of [ONE, ONE.replace('weight: 2', 'routes: [/]')]) {
    const caller = new KeyRing(parseKeyFile(text)).find(['first']);
    expect(caller?.mayCall('/anything')).toBe(true);
    expect(caller?.mayUse(phi3Card())).toBe(true);
  }
});

test.each([
  ['keys: [{id: oslo, primary: my-secret-key}]', 'keys.0.primary must be the SHA-256 of the key'],
  ['keys: [{id: oslo}]', 'keys.0 has no key'],
  [`keys: [{id: anonymous, primary: ${sha('a')}}]`, 'keys.0.id is a name that the gateway itself uses'],
  [`keys: [{id: "a b", primary: ${sha('a')}}]`, 'keys.0.id must be 1 to 64 letters'],
  [`keys: [{id: a, primary: ${sha('a')}, models: []}]`, 'keys.0.models'],
  [`keys: [{id: a, primary: ${sha('a')}, routes: [score]}]`, 'keys.0.routes.0 must be a path'],
  [`keys: [{id: a, primary: ${sha('a')}, weight: 0}]`, 'keys.0.weight'],
  [`keys: [{id: a, primary: ${sha('a')}, limits: {tokens_per_minute: 0}}]`, 'keys.0.limits.tokens_per_minute'],
  [`keys: [{id: a, primary: ${sha('a')}, limits: {tokens: 5}}]`, 'keys.0.limits Unrecognized key: "tokens"'],
  [`keys: [{id: a, primary: ${sha('a')}, tiers: [fast]}]`, 'keys.0.tiers.0'],
  [`keys: [{id: a, primary: ${sha('a')}, scopes: [admin]}]`, 'keys.0.scopes.0'],
  [`keys: [{id: a, primary: ${sha('a')}, model: [x]}]`, 'keys.0 Unrecognized key: "model"'],
  [`keys: [{id: a, primary: ${sha('a')}}, {id: a, primary: ${sha('b')}}]`, 'the id a is given twice'],
  [`keys: [{id: a, primary: ${sha('a')}}, {id: b, secondary: ${sha('a')}}]`, 'a key of a is given again for b'],
  ['keys:\n  - "my-secret-key\n', 'line 3 is not YAML'],
  ['- my-secret-key', 'expected object'],
])('an invalid file is refused and never quoted: %s', (text, sentence) => {
  const message = reason(() => parseKeyFile(text));
  expect(message).toContain(sentence);
  expect(message).not.toContain('my-secret-key');
});

test('a new caller is added, comments stay, a missing file counts as empty', () => {
  const two = withKey(ONE, 'bergen', undefined, 'second', { models: ['azureai'], routes: ['/score'], weight: 4 });
  expect(two).toContain('# the team in Oslo');
  expect(two).toContain('# night shift');
  expect(two).not.toContain('second');
  expect(parseKeyFile(two)).toMatchObject([
    { id: 'oslo', weight: 2 },
    { id: 'bergen', primary: sha('second'), models: ['azureai'], routes: ['/score'], weight: 4 },
  ]);
  for (const nothing of ['', '# none yet\n', 'keys:\n', 'keys: []\n']) {
    expect(parseKeyFile(nothing)).toEqual([]);
    expect(parseKeyFile(withKey(nothing, 'oslo', undefined, 'first', {}))).toMatchObject([{ id: 'oslo' }]);
  }
});

test('a key is replaced without an interruption: secondary added, primary revoked, primary added', () => {
  const both = withKey(ONE, 'oslo', 'secondary', 'next', {});
  expect(parseKeyFile(both)).toMatchObject([{ primary: sha('first'), secondary: sha('next'), weight: 2 }]);
  const moved = withoutKey(both, 'oslo', 'primary');
  expect(parseKeyFile(moved)).toMatchObject([{ secondary: sha('next') }]);
  expect(parseKeyFile(moved)[0]?.primary).toBeUndefined();
  expect(parseKeyFile(withKey(moved, 'oslo', 'primary', 'third', {}))).toMatchObject([{ primary: sha('third') }]);
});

test('fields are changed and removed, comments stay, and an empty group leaves no trace', () => {
  const limited = withScopes(ONE, 'oslo', { weight: 8, tiers: ['flex'], tokens_per_day: 500, waiting_jobs: 3 });
  expect(limited).toContain('# night shift');
  const [entry] = parseKeyFile(limited);
  expect(entry).toMatchObject({
    weight: 8,
    tiers: ['flex'],
    limits: { tokens_per_day: 500 },
    caps: { waiting_jobs: 3 },
  });
  const freed = withScopes(limited, 'oslo', {
    tiers: 'none',
    tokens_per_day: 'none',
    waiting_bytes: 'none',
    weight: 2,
  });
  expect(freed).not.toMatch(/tiers|limits/);
  expect(parseKeyFile(freed)).toMatchObject([{ weight: 2, limits: {}, caps: { waiting_jobs: 3 } }]);
  expect(withScopes(freed, 'oslo', { waiting_jobs: 'none' })).toBe(ONE);
});

test('a caller without its last key is removed', () => {
  expect(parseKeyFile(withoutKey(ONE, 'oslo', undefined))).toEqual([]);
  expect(parseKeyFile(withoutKey(ONE, 'oslo', 'primary'))).toEqual([]);
});

test('without a place, the refusal names the free one of the two keys', () => {
  const two = withKey(ONE, 'oslo', 'secondary', 'second', {});
  expect(() => withKey(two, 'oslo', undefined, 'x', {})).toThrow(
    'there is a key oslo already; it has two; revoke one first: penstock keys revoke --id oslo --primary',
  );
  expect(() => withKey(withoutKey(two, 'oslo', 'primary'), 'oslo', undefined, 'x', {})).toThrow(
    'there is a key oslo already; --primary gives it a second one',
  );
});

test.each([
  [() => withKey(ONE, 'oslo', undefined, 'x', {}), 'there is a key oslo already; --secondary gives it a second one'],
  [() => withKey(ONE, 'oslo', 'primary', 'x', {}), 'oslo has a primary key already; revoke it with --primary first'],
  [() => withKey(ONE, 'oslo', 'secondary', 'x', { weight: 3 }), 'belong to both keys of oslo'],
  [() => withKey(ONE, 'bergen', 'secondary', 'x', {}), 'there is no key bergen yet'],
  [() => withKey(ONE, 'bergen', undefined, 'first', {}), 'a key of oslo is given again for bergen'],
  [() => withKey(ONE, 'bergen', undefined, 'x', { weight: Number('much') }), 'keys.1.weight'],
  [() => withScopes(ONE, 'oslo', { tokens_per_day: 0 }), 'keys.0.limits.tokens_per_day'],
  [() => withScopes(ONE, 'bergen', { weight: 2 }), 'there is no key bergen'],
  [() => withoutKey(ONE, 'bergen', undefined), 'there is no key bergen'],
  [() => withoutKey(ONE, 'oslo', 'secondary'), 'oslo has no secondary key'],
])('an impossible change is refused in a sentence: %#', (work, sentence) => {
  expect(reason(work)).toContain(sentence);
});

test('a webhook is set, replaced and removed; comments stay, and no caller carries its secret', () => {
  const [first, second] = [newWebhookSecret(), newWebhookSecret()];
  expect(first).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(second).not.toBe(first);
  const url = 'https://hooks.example/';
  const text = withWebhook(withWebhook(ONE, 'oslo', { url, secret: first }), 'oslo', { url, secret: second });
  expect(text).toContain('# night shift');
  const ring = new KeyRing(parseKeyFile(text));
  expect(ring.webhookOf('oslo')).toEqual({ url, secret: second });
  expect(ring.webhookOf('bergen')).toBeUndefined();
  expect(JSON.stringify(ring.find(['first']))).not.toContain('whsec_');
  expect(withWebhook(text, 'oslo', undefined)).toBe(ONE);
  expect(reason(() => withWebhook(ONE, 'oslo', undefined))).toBe('oslo has no webhook');
  const bad = reason(() => withWebhook(ONE, 'oslo', { url: 'https://x/', secret: 'whsec_short' }));
  expect(bad).toMatch(/webhook.secret must be whsec_/);
  expect(bad).not.toContain('whsec_short');
});
