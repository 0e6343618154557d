import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { withKey } from '../../gateway/keys/key-edit.ts';
import { LiveKeys } from '../../gateway/keys/live-keys.ts';
import { eventually } from '../support/eventually.ts';
import { noAudit, silentLog } from '../support/silent-log.ts';
import { temporaryFolder } from '../support/start-process.ts';

/** gateway/README.md's promise. */
const PROMISED_MS = 5_000;
const ONE = withKey('', 'oslo', undefined, 'first', {});
const TWO = withKey(ONE, 'bergen', undefined, 'second', {});

test.each([
  [
    'replaced by a rename',
    (path: string) => [() => writeFileSync(`${path}.new`, TWO), () => renameSync(`${path}.new`, path)],
  ],
  ['written in place', (path: string) => [() => writeFileSync(path, TWO)]],
  ['removed and recreated', (path: string) => [() => rmSync(path), () => writeFileSync(path, TWO)]],
])('a key file %s applies without a restart', async (_how, steps) => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'keys.yaml');
  writeFileSync(path, ONE);
  const keys = new LiveKeys(path, silentLog, noAudit);
  expect([keys.find(['first'])?.id, keys.find(['second'])]).toEqual(['oslo', undefined]);
  for (const step of steps(path)) step();
  await eventually('the new key is found', () => keys.find(['second']), PROMISED_MS);
  keys.close();
});

test('a mounted secret, whose link changes to another folder without an event, applies too', async () => {
  using folder = temporaryFolder();
  using elsewhere = temporaryFolder();
  const path = join(folder.path, 'keys.yaml');
  writeFileSync(join(elsewhere.path, 'keys.yaml'), TWO);
  symlinkSync(join(elsewhere.path, 'keys.yaml'), path);
  const keys = new LiveKeys(path, silentLog, noAudit);
  writeFileSync(join(elsewhere.path, 'keys.yaml'), ONE);
  await eventually('the revoked key is unknown', () => keys.find(['second']) === undefined, PROMISED_MS);
  expect(keys.find(['first'])?.id).toBe('oslo');
  keys.close();
});

test('a missing or invalid file at the start is named, with the reason', () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'keys.yaml');
  expect(() => new LiveKeys(path, silentLog, noAudit)).toThrow(`key file ${path} (GATEWAY_KEYS_FILE): ENOENT`);
  writeFileSync(path, 'keys: [{id: oslo}]');
  expect(() => new LiveKeys(path, silentLog, noAudit)).toThrow(
    `key file ${path} (GATEWAY_KEYS_FILE): keys.0 has no key`,
  );
});
