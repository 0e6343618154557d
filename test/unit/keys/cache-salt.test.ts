import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createCacheSalt, givenSecret } from '../../../gateway/keys/cache-salt.ts';
import { ANYONE, type Caller } from '../../../gateway/keys/caller.ts';
import { withKey } from '../../../gateway/keys/key-edit.ts';
import { parseKeyFile } from '../../../gateway/keys/key-file.ts';
import { hashOfKey, KeyRing } from '../../../gateway/keys/key-ring.ts';
import { temporaryFolder } from '../../support/start-process.ts';

const SECRET = 'a secret of the replicas';
const salt = createCacheSalt(SECRET);

/** The caller with this id in a regenerated key file. */
function holder(id: string, key: string): Caller {
  const caller = new KeyRing(parseKeyFile(withKey('', id, undefined, key, {}))).find([key]);
  if (caller === undefined) throw new Error('no caller');
  return caller;
}

test('N14: the salt reveals nothing of the key and cannot be computed without the secret', () => {
  const oslo = holder('oslo', 'first');
  expect(salt(oslo)).toMatch(/^[\w-]{43}$/);
  expect(salt(oslo)).toBe(createCacheSalt(SECRET)(holder('oslo', 'first')));
  expect(salt(oslo)).not.toContain('oslo');
  expect(salt(oslo)).not.toBe(hashOfKey('first').toString('base64url'));
  expect(createCacheSalt(`${SECRET}!`)(oslo)).not.toBe(salt(oslo));
  expect(salt(ANYONE)).not.toBe(createCacheSalt(`${SECRET}!`)(ANYONE));
});

test('N14: a key that was deleted and created again under its name has another salt', () => {
  expect(salt(holder('oslo', 'second'))).not.toBe(salt(holder('oslo', 'first')));
  expect(salt(holder('bergen', 'first'))).not.toBe(salt(holder('oslo', 'first')));
});

test('N14: the secret comes from a setting or a file; an error message never contains it', () => {
  using folder = temporaryFolder();
  const file = (text: string): string => {
    const path = join(folder.path, 'secret');
    writeFileSync(path, text);
    return path;
  };
  expect(givenSecret({})).toBeUndefined();
  expect(givenSecret({ GATEWAY_CACHE_SALT_SECRET: SECRET })).toBe(SECRET);
  expect(givenSecret({ GATEWAY_CACHE_SALT_SECRET_FILE: file(`${SECRET}\n`) })).toBe(SECRET);
  expect(() => givenSecret({ GATEWAY_CACHE_SALT_SECRET_FILE: file('short\n') })).toThrow(/at least 16 characters$/);
  expect(() => givenSecret({ GATEWAY_CACHE_SALT_SECRET_FILE: join(folder.path, 'none') })).toThrow(/ENOENT/);
  const twice = { GATEWAY_CACHE_SALT_SECRET: SECRET, GATEWAY_CACHE_SALT_SECRET_FILE: file(SECRET) };
  expect(() => givenSecret(twice)).toThrow(/leave one out$/);
});
